//! Pages to PDF by a real Chromium: what is in them is there, they reach nothing, and nothing of the browser is left.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use pymd::browser::{PrintError, Printer};
use tokio::net::{TcpListener, UdpSocket};

use crate::support::browser::{pdf_images, pdf_pages, pdf_text, printer, processes, until_nothing_is_left};

/// One pixel.
const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_becomes_a_pdf() {
    let directory = tempfile::tempdir().unwrap();
    let printer = printer(directory.path(), |_| {});
    let page = format!(
        "<!DOCTYPE html><html><head><title>The title</title></head><body><h1>Heading \u{e9}</h1>\
         <table><tr><th>name</th><th>value</th></tr><tr><td>alpha</td><td>42</td></tr></table>\
         <img width=200 height=100 src=\"data:image/png;base64,{PNG}\">\
         <p style=\"break-before: page\">On the second page.</p></body></html>"
    );
    let pdf = printer.print(page).await.unwrap();
    assert_eq!(pdf_pages(&pdf), 2);
    let text = pdf_text(&pdf);
    for part in ["Heading \u{e9}", "alpha", "42", "On the second page.", "1/2", "2/2"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(pdf_images(&pdf).contains(" image "), "{}", pdf_images(&pdf));
    // At once: whoever has the answer finds nothing of the browser.
    assert_eq!(processes(directory.path()), Vec::<String>::new());
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    printer.print(String::new()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_reaches_no_file_and_no_server() {
    let directory = tempfile::tempdir().unwrap();
    let printer = printer(directory.path(), |_| {});
    let place = tempfile::tempdir().unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let secret = place.path().join("secret.html");
    fs::write(&secret, "SECRETTEXT").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o644)).unwrap();
    let secret = format!("file://{}", secret.display());
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/", server.local_addr().unwrap());
    for target in [&secret, &address, &"file:///etc/passwd".to_owned()] {
        let page = format!(
            "<!DOCTYPE html><base href=\"{target}\">\
             <link rel=stylesheet href=\"{target}\"><link rel=prefetch href=\"{target}\"><link rel=preconnect href=\"{target}\">\
             <style>@import url({target}); body {{ background: url({target}) }} @font-face {{ font-family: x; src: url({target}) }} p {{ font-family: x }}</style>\
             <h1>Shown</h1><p>text<iframe src=\"{target}\"></iframe><iframe srcdoc=\"<iframe src='{target}'></iframe>\"></iframe>\
             <object data=\"{target}\"></object><embed src=\"{target}\"><img src=\"{target}\"><video autoplay src=\"{target}\"></video>\
             <svg><image href=\"{target}\"/><use href=\"{target}#x\"/></svg>\
             <script>document.write('SCRIPTED'); fetch('{target}'); location = '{target}'</script>\
             <img src=x onerror=\"document.body.innerText = 'SCRIPTED'\"><form action=\"{target}\"><input autofocus></form>"
        );
        let pdf = printer.print(page).await.unwrap();
        let text = pdf_text(&pdf);
        assert!(text.contains("Shown"), "{text}");
        for hidden in ["SECRETTEXT", "root:", "SCRIPTED"] {
            assert!(!text.contains(hidden), "{text}");
        }
        let page = format!("<!DOCTYPE html><meta http-equiv=refresh content=\"0;url={target}\"><h1>Shown</h1>");
        match printer.print(page).await {
            Ok(pdf) => assert!(!pdf_text(&pdf).contains("SECRET") && !pdf_text(&pdf).contains("root:")),
            Err(error) => assert!(matches!(error, PrintError::GaveUp), "{error}"),
        }
    }
    let asked = tokio::time::timeout(Duration::ZERO, server.accept()).await;
    assert!(asked.is_err(), "somebody asked the server");
    until_nothing_is_left(directory.path()).await;
}

/// Frames may be pages of processes of their own, to which nothing applies that is said to the page alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scripts_in_frames_run_no_more_than_others() {
    let directory = tempfile::tempdir().unwrap();
    let printer = printer(directory.path(), |_| {});
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let datagrams = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let (address, port) = (server.local_addr().unwrap(), datagrams.local_addr().unwrap().port());
    let script = format!(
        "document.body.textContent = 'SCRIPTED'; try {{ parent.document.body.textContent = 'SCRIPTED' }} catch (e) {{ }}\
         const c = new RTCPeerConnection({{iceServers: [{{urls: 'stun:127.0.0.1:{port}'}}]}}); c.createDataChannel('x');\
         c.createOffer().then(o => c.setLocalDescription(o)); new Image().src = 'http://{address}/';\
         fetch('http://{address}/', {{mode: 'no-cors'}}); new WebSocket('ws://{address}/');\
         navigator.sendBeacon('http://{address}/', 'x')"
    );
    let inner = format!("<body>INNER<script>{script}</script><img src=http://{address}/ onerror=\"{script}\">");
    let quoted = inner.replace('&', "&amp;").replace('"', "&quot;");
    let frames = [
        format!("<iframe sandbox='allow-scripts' srcdoc=\"{quoted}\"></iframe>"),
        format!("<iframe sandbox='allow-scripts allow-same-origin' srcdoc=\"{quoted}\"></iframe>"),
        format!("<iframe sandbox='allow-scripts allow-top-navigation allow-popups' srcdoc=\"{quoted}\"></iframe>"),
        format!("<iframe srcdoc=\"{quoted}\"></iframe>"),
        format!("<iframe sandbox='allow-scripts' src=\"data:text/html,{quoted}\"></iframe>"),
        format!("<iframe src=\"data:text/html,{quoted}\"></iframe>"),
        format!("<object type=text/html data=\"data:text/html,{quoted}\"></object>"),
    ];
    // Long enough to be laid out that frames would have the time.
    let long = "<p>word word</p>".repeat(5_000);
    let pdf = printer.print(format!("<!DOCTYPE html><h1>Shown</h1>{}{long}", frames.concat())).await.unwrap();
    let text = pdf_text(&pdf);
    assert!(text.contains("Shown") && !text.contains("SCRIPTED"), "{}", &text[..400]);
    assert!(text.matches("INNER").count() >= 4, "frames are shown: {}", &text[..400]);
    let heard = tokio::time::timeout(Duration::ZERO, datagrams.recv(&mut [0; 100])).await;
    assert!(heard.is_err(), "a frame has sent something");
    let asked = tokio::time::timeout(Duration::ZERO, server.accept()).await;
    assert!(asked.is_err(), "a frame has asked the server");
    until_nothing_is_left(directory.path()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_takes_for_ever_ends_at_the_deadline() {
    let directory = tempfile::tempdir().unwrap();
    let printer = printer(directory.path(), |config| config.timeout = Duration::from_secs(3));
    let started = Instant::now();
    let error = printer.print("<p>word word ".repeat(2_000_000)).await.unwrap_err();
    assert!(matches!(error, PrintError::Deadline { .. }), "{error}");
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    until_nothing_is_left(directory.path()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_wants_too_much_memory_takes_only_its_browser_down() {
    let directory = tempfile::tempdir().unwrap();
    let printer = printer(directory.path(), |config| config.memory_bytes = 1_200 << 20);
    let error = printer.print(format!("<img src=\"{}\">", bomb(20_000, 20_000))).await.unwrap_err();
    assert!(matches!(error, PrintError::GaveUp), "{error}");
    until_nothing_is_left(directory.path()).await;
    printer.print("<p>the next".to_owned()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_goes_away_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let printer = printer(directory.path(), |_| {});
    let path = directory.path().to_owned();
    let has_started = async {
        while processes(&path).len() < 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        printed = printer.print("<p>word word ".repeat(2_000_000)) => panic!("{printed:?}"),
        () = has_started => {}
    }
    until_nothing_is_left(directory.path()).await;
}

#[tokio::test]
async fn what_is_no_browser_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let with = |program: &str, timeout: u64| -> Printer {
        printer(directory.path(), |config| {
            config.chromium = Some(program.into());
            config.timeout = Duration::from_millis(timeout);
        })
    };
    let print = async |printer: Printer| printer.print("<p>text".to_owned()).await.unwrap_err();
    let error = print(with("/no/such/program", 20_000)).await;
    assert!(matches!(error, PrintError::NoBrowser), "{error}");
    let error = print(with("/bin/true", 20_000)).await;
    assert!(matches!(error, PrintError::Browser { .. }), "{error}");
    let place = tempfile::tempdir().unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for (script, is_deadline) in [
        ("exec sleep 1000", true),
        ("sleep 1000 & sleep 1000", true),
        ("cat /dev/zero >&4", false),
        ("echo '[]' >&4; exec sleep 1000", true),
        ("printf '{\"id\":\"x\"}\\0' >&4; exec sleep 1000", false),
        ("yes | tr '\\n' a >&4", false),
        ("echo 'No usable sandbox!' >&2; exit 1", false),
        // More than a pipe holds.
        ("head -c 5000000 /dev/zero | tr '\\0' a >&2; echo 'No usable sandbox!' >&2; exit 1", false),
    ] {
        let program = place.path().join("browser");
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let error = print(with(program.to_str().unwrap(), if is_deadline { 500 } else { 20_000 })).await;
        match error {
            PrintError::Deadline { .. } => assert!(is_deadline, "{script}"),
            PrintError::NoSandbox => assert!(script.contains("sandbox"), "{script}"),
            PrintError::Browser { .. } => assert!(!is_deadline, "{script}"),
            error => panic!("{script}: {error}"),
        }
        until_nothing_is_left(directory.path()).await;
    }
    let error = with("/bin/true", 1_000).print(" ".repeat((32 << 20) + 1)).await.unwrap_err();
    assert!(matches!(error, PrintError::TooLarge { .. }), "{error}");
}

#[test]
fn what_killed_servers_left_is_swept_up() {
    let directory = tempfile::tempdir().unwrap();
    let printer = printer(directory.path(), |_| {});
    for name in ["pymd-print-1", "other"] {
        fs::create_dir(directory.path().join(name)).unwrap();
        fs::write(directory.path().join(name).join("file"), "x").unwrap();
    }
    std::os::unix::fs::symlink(directory.path().join("other"), directory.path().join("pymd-print-2")).unwrap();
    printer.sweep(Duration::from_secs(60));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 3);
    printer.sweep(Duration::ZERO);
    let mut left: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["other", "pymd-print-2"]);
    assert!(directory.path().join("other/file").exists());
}

/// A few bytes that are an image of so many pixels.
fn bomb(width: u32, height: u32) -> String {
    use base64::Engine as _;
    // A bitmap of 8 bits a pixel, run-length encoded, that ends at once.
    let mut bytes = b"BM".to_vec();
    let pixels_at = 14_u32 + 40 + 8;
    for number in [pixels_at + 2, 0, pixels_at, 40, width, height] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend(1_u16.to_le_bytes());
    bytes.extend(8_u16.to_le_bytes());
    for number in [1_u32, 2, 0, 0, 2, 2] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend([0, 0, 0, 0, 255, 255, 255, 0]);
    bytes.extend([0, 1]);
    format!("data:image/bmp;base64,{}", base64::engine::general_purpose::STANDARD.encode(bytes))
}
