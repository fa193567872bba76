/** A configuration that can not be used; the message is for the person who started the server. */
export class ConfigError extends Error {
  override name = "ConfigError";
}
