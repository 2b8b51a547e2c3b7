//! Prints pages of HTML to PDF, with a headless Chromium that is on the machine.
//!
//! The page is hostile. It gets a browser of its own, which lives only for it:
//!
//! - it is put into an empty page whose origin is nobody's, so it can't name a file of this machine;
//! - no script of it runs, in no frame either, and whatever it asks for is refused; data in the page itself needs no
//!   asking;
//! - the browser's home, profile and temporary files are a fresh directory, its environment is empty, and where the
//!   server is root it runs as nobody, else as the server; its own sandbox is on, unless that is configured otherwise;
//! - it has a deadline, and each of its processes a bound of memory. At the end all of them are killed.
//!
//! It is spoken to over a pipe, so there is no port that others could connect to.

mod directory;
mod pipe;
mod process;
mod session;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::RwLock;
use tokio_util::sync::CancellationToken;

use directory::Directory;
use process::Process;

/// What a browser is called, where none is named.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
/// A larger page is not printed.
const MAX_PAGE_BYTES: usize = 32 << 20;

/// How pages are printed.
#[derive(Debug, Clone)]
pub struct PrinterConfig {
    /// The browser's program. Default: the first that is found of those that Chromium is usually called.
    pub chromium: Option<PathBuf>,
    /// What printing a page may take, the browser's start included. Default: 30 s.
    pub timeout: Duration,
    /// Whether the browser's own sandbox is on, which needs user namespaces. Default: yes.
    pub has_sandbox: bool,
    /// What each of the browser's processes may have in private memory, in bytes. Default: 2 GiB.
    pub memory_bytes: u64,
    /// Where its directories are made. Default: the system's directory for temporary files.
    pub temp_dir: PathBuf,
}

impl Default for PrinterConfig {
    fn default() -> Self {
        Self {
            chromium: None,
            timeout: Duration::from_secs(30),
            has_sandbox: true,
            memory_bytes: 2 << 30,
            temp_dir: std::env::temp_dir(),
        }
    }
}

/// Why a page was not printed.
#[derive(Debug, thiserror::Error)]
pub enum PrintError {
    /// There is no browser.
    #[error("there is no Chromium on the server")]
    NoBrowser,
    /// The system does not allow the browser's sandbox.
    #[error("Chromium's own sandbox can't be used on the server, which allows no user namespaces")]
    NoSandbox,
    /// The page is too large.
    #[error("the page has {size_bytes} bytes, and {max_bytes} can be printed")]
    TooLarge {
        /// Its bytes.
        size_bytes: usize,
        /// What can be printed.
        max_bytes: usize,
    },
    /// The PDF would be too large.
    #[error("the PDF has more than {max_bytes} bytes")]
    TooMuch {
        /// How large it may be.
        max_bytes: usize,
    },
    /// It took too long.
    #[error("printing the page took longer than {} s", timeout.as_secs_f64())]
    Deadline {
        /// How long it may take.
        timeout: Duration,
    },
    /// The page needed more memory than there is for it, went elsewhere, or the browser has a fault.
    #[error("the browser gave up on the page, which may need too much memory")]
    GaveUp,
    /// The browser can't be started, or its directory can't be made.
    #[error("cannot {action}: {source}")]
    Io {
        /// What was to be done.
        action: &'static str,
        /// The system's words.
        source: std::io::Error,
    },
    /// The browser answered something else than it should.
    #[error("the browser {what}: {reason}")]
    Browser {
        /// What it did.
        what: &'static str,
        /// Its words.
        reason: String,
    },
}

/// Prints pages. Cloning shares it.
#[derive(Debug, Clone, Default)]
pub struct Printer(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    config: PrinterConfig,
    /// Held for reading by whoever has a browser.
    browsers: Arc<RwLock<()>>,
    warned: OnceLock<()>,
}

impl Printer {
    /// A printer. Whether there is a browser shows when a page is printed.
    pub fn new(config: PrinterConfig) -> Self {
        Self(Arc::new(Inner { config, ..Inner::default() }))
    }

    /// Whether there is a browser.
    ///
    /// # Errors
    /// There is none.
    pub fn check(&self) -> Result<(), PrintError> {
        self.find().map(|_| ()).ok_or(PrintError::NoBrowser)
    }

    /// The PDF of a page. Dropping the future ends the browser, which takes a moment: see [`Printer::until_gone`].
    ///
    /// # Errors
    /// There is no browser, or it can't print the page within its limits.
    pub async fn print(&self, page: String) -> Result<Vec<u8>, PrintError> {
        self.print_holding(page, ()).await
    }

    /// The same. `held`, the right to have a browser, is dropped when nothing of the browser is left, also where the
    /// caller has gone away before.
    ///
    /// # Errors
    /// As [`Printer::print`].
    pub async fn print_holding(&self, page: String, held: impl Send + 'static) -> Result<Vec<u8>, PrintError> {
        if page.len() > MAX_PAGE_BYTES {
            return Err(PrintError::TooLarge { size_bytes: page.len(), max_bytes: MAX_PAGE_BYTES });
        }
        let program = self.find().ok_or(PrintError::NoBrowser)?;
        let (inner, gone) = (Arc::clone(&self.0), CancellationToken::new());
        if !inner.config.has_sandbox {
            inner.warned.get_or_init(|| tracing::warn!("Chromium runs without its own sandbox, as it is configured"));
        }
        let browser = Arc::clone(&inner.browsers).read_owned().await;
        let _gone = gone.clone().drop_guard();
        // Apart from the caller: who goes away does not have to wait until all is cleared away.
        let printed = tokio::spawn(async move {
            let _held = (held, browser);
            print(&inner.config, program, page, gone).await
        });
        printed.await.map_err(|error| PrintError::Io { action: "print", source: error.into() })?
    }

    /// Waits until nothing is left of browsers whose callers went away: some ten seconds at the very most. Who ends the
    /// process before leaves their directories.
    pub async fn until_gone(&self) {
        drop(self.0.browsers.write().await);
    }

    /// Removes directories that were left behind by a server that was killed, and are older than `age`.
    pub fn sweep(&self, age: Duration) {
        directory::sweep(&self.0.config.temp_dir, age);
    }

    fn find(&self) -> Option<PathBuf> {
        if let Some(named) = &self.0.config.chromium {
            return Some(named.clone()).filter(|path| path.is_file());
        }
        let path = std::env::var_os("PATH")?;
        let directories: Vec<_> = std::env::split_paths(&path).collect();
        let mut places = NAMES.iter().flat_map(|name| directories.iter().map(move |directory| directory.join(name)));
        places.find(|path| path.is_file())
    }
}

async fn print(
    config: &PrinterConfig,
    program: PathBuf,
    page: String,
    gone: CancellationToken,
) -> Result<Vec<u8>, PrintError> {
    let directory = Directory::make(&config.temp_dir)?;
    let mut process = Process::start(config, &program, &directory)?;
    let (pipe, words) = process.talk();
    let listen = async {
        words.listen().await;
        // Whether the page is printed is heard elsewhere.
        std::future::pending().await
    };
    let printed = tokio::select! {
        printed = tokio::time::timeout(config.timeout, session::print(pipe, page)) => {
            printed.unwrap_or(Err(PrintError::Deadline { timeout: config.timeout }))
        }
        never = listen => never,
        () = gone.cancelled() => Err(PrintError::Browser { what: "was stopped", reason: "nobody waits".to_owned() }),
    };
    let said = process.end().await;
    directory.remove().await;
    printed.map_err(|error| match error {
        PrintError::Browser { .. } if said.contains("No usable sandbox") => PrintError::NoSandbox,
        PrintError::Browser { what, reason } => {
            let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
            PrintError::Browser { what, reason: format!("{reason} (its last words: {last})") }
        }
        error => error,
    })
}
