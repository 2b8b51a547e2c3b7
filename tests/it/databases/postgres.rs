//! One PostgreSQL server for the test process, from Debian's package; one database a test.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use super::Watched;

/// Makes a cluster in a directory of its own, reached by a socket there only, and removes it in the end. The order of
/// texts is not that of their bytes, as it is not on most servers.
const SCRIPT: &str = r#"
set -eu
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
"$1/initdb" --pgdata="$directory/data" --username=pymd --auth=trust --encoding=UTF8 --no-sync \
    --locale=C --locale-provider=icu --icu-locale=en-US >"$directory/log" 2>&1 || { cat "$directory/log"; exit 1; }
"$1/pg_ctl" --pgdata="$directory/data" --log="$directory/log" --wait start >"$directory/pg_ctl.log" 2>&1 \
    --options="-k $directory -c listen_addresses= -c fsync=off -c max_connections=400" || { cat "$directory"/*log; exit 1; }
echo "ready $directory"
cat >/dev/null
"$1/pg_ctl" --pgdata="$directory/data" --mode=immediate stop >/dev/null
"#;

struct Server {
    directory: String,
    _watched: Watched,
}

/// Address of a new, empty database.
pub(super) async fn new_database() -> String {
    static SERVER: OnceLock<Server> = OnceLock::new();
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let server = tokio::task::spawn_blocking(|| SERVER.get_or_init(start)).await.unwrap();
    let name = format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed));
    let mut connection = PgConnection::connect(&server.url("postgres")).await.unwrap();
    connection.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.unwrap();
    connection.close().await.unwrap();
    server.url(&name)
}

impl Server {
    fn url(&self, database: &str) -> String {
        format!("postgres://pymd@{}/{database}", self.directory.replace('/', "%2F"))
    }
}

fn start() -> Server {
    let mut command = Command::new("setpriv");
    if owner_of_process() == 0 {
        // PostgreSQL refuses to run as root; its package made this user.
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
    }
    command.args(["sh", "-c", SCRIPT, "sh"]).arg(programs()).env_remove("TMPDIR");
    let (watched, directory) = Watched::start(command, |line| line.strip_prefix("ready ").map(str::to_owned));
    Server { directory, _watched: watched }
}

fn owner_of_process() -> u32 {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").unwrap().uid()
}

/// Debian has a directory a version, and puts none of them in the path.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").expect("Debian's package `postgresql` is installed");
    let versions = versions.map(|version| version.unwrap().path().join("bin"));
    let newest = versions.filter(|bin| bin.join("initdb").exists()).max();
    newest.expect("Debian's package `postgresql` is installed")
}
