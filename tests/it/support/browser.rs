//! Chromium, and what tests ask of it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use pymd::browser::{Printer, PrinterConfig};

/// A printer whose browsers have their files below `directory`. Where the system lets nobody make user namespaces, the
/// browser's own sandbox is off.
pub fn printer(directory: &Path, change: impl FnOnce(&mut PrinterConfig)) -> Printer {
    // The browser does not run as root.
    fs::set_permissions(directory, fs::Permissions::from_mode(0o711)).unwrap();
    let mut config = PrinterConfig {
        temp_dir: directory.to_owned(),
        has_sandbox: can_make_user_namespaces(),
        ..PrinterConfig::default()
    };
    change(&mut config);
    Printer::new(config)
}

/// Whether user namespaces can be made.
pub fn can_make_user_namespaces() -> bool {
    Command::new("unshare").args(["--user", "true"]).output().is_ok_and(|output| output.status.success())
}

/// The text of a PDF.
pub fn pdf_text(pdf: &[u8]) -> String {
    poppler("pdftotext", &["-layout"], pdf, &["-"])
}

/// How many pages it has.
pub fn pdf_pages(pdf: &[u8]) -> usize {
    let info = poppler("pdfinfo", &[], pdf, &[]);
    let pages = info.lines().find_map(|line| line.strip_prefix("Pages:")).unwrap();
    pages.trim().parse().unwrap()
}

/// The images in it, one a line.
pub fn pdf_images(pdf: &[u8]) -> String {
    poppler("pdfimages", &["-list"], pdf, &[])
}

fn poppler(program: &str, before: &[&str], pdf: &[u8], behind: &[&str]) -> String {
    assert!(pdf.starts_with(b"%PDF-"), "it is a PDF");
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), pdf).unwrap();
    let output = Command::new(program).args(before).arg(file.path()).args(behind).output();
    let output = output.unwrap_or_else(|error| panic!("{program} of poppler-utils: {error}; tests/run installs it"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The processes that have to do with a directory.
pub fn processes(directory: &Path) -> Vec<String> {
    let mine = std::process::id().to_string();
    let name = directory.as_os_str().as_encoded_bytes();
    let has = |bytes: Vec<u8>| bytes.windows(name.len()).any(|part| part == name);
    let found = fs::read_dir("/proc").unwrap().flatten().filter(|entry| {
        let path = entry.path();
        let is_process = entry.file_name().to_str().is_some_and(|name| name.parse::<u32>().is_ok() && name != mine);
        let named = |file: &str| fs::read(path.join(file)).is_ok_and(has);
        is_process && (named("cmdline") || named("environ"))
    });
    found.map(|entry| fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default()).collect()
}

/// Waits until a directory is empty and no process has to do with it, for at most ten seconds.
pub async fn until_nothing_is_left(directory: &Path) {
    let mut left = (Vec::new(), 0);
    for _ in 0..1000 {
        left = (processes(directory), fs::read_dir(directory).unwrap().count());
        if left.0.is_empty() && left.1 == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("left in {}: {left:?}", directory.display());
}
