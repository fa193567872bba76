/** Why packages can not be had: the text names the package, and is for the client who asked. */
export class PackageError extends Error {
  override name = "PackageError";
}

/** A source does not give what it has: another one may. */
export class Unreachable extends PackageError {
  override name = "Unreachable";
}

/** The packages are there but can not be used: they are damaged, or lead where they may not. */
export class InstallError extends PackageError {
  override name = "InstallError";
}
