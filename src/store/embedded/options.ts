/** What the embedded server is started with. Nothing here reads the environment: the settings module passes it in. */
export interface EmbeddedOptions {
  /** The folder of the project that the database belongs to; see `findProjectDir`. */
  projectDir: string
  /** Folder with `initdb` and `postgres` of an installed server, 15 or later (STET_PG_BIN). Default: the npm package. */
  pgBin?: string | undefined
  /** Where the data goes instead of the default (STET_DATA_DIR); one folder per major version is made inside. */
  dataDir?: string | undefined
  /** Where the binaries are copied to instead of `~/.cache/stet` (as root `/var/cache/stet`). */
  cacheDir?: string | undefined
  /**
   * For tests: no fsync and no waiting for the disk. A server that is killed loses its last commits, a power cut the
   * whole database. Default false.
   */
  fast?: boolean | undefined
  /** More server settings, as `postgres -c name=value`; they win over ours. Ignored when attaching. */
  settings?: Record<string, string> | undefined
  /** Told in a sentence what takes long, once per fact. */
  log?: ((message: string) => void) | undefined
}
