/** Packages that come with the server. */
export const BUILT_IN: ReadonlySet<string> = new Set(["gearsclient", "cloudpickle"]);
