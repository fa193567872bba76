/** Why packages can not be had: the text names the package, and is for the client who asked. */
export class PackageError extends Error {
  override name = "PackageError";
}

/** The packages are there but can not be used: they are damaged, or lead where they may not. */
export class InstallError extends PackageError {
  override name = "InstallError";
}
