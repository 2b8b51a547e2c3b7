//! The pages: they load nothing from elsewhere, and are complete.

use crate::support::TestApp;

/// The values of an attribute.
fn attributes<'a>(page: &'a str, name: &str) -> Vec<&'a str> {
    let start = format!(" {name}=\"");
    page.match_indices(&start).map(|(at, _)| page[at + start.len()..].split('"').next().unwrap()).collect()
}

#[tokio::test]
async fn pages_refer_only_to_this_server() {
    let app = TestApp::start().await;
    for path in ["/", "/docs"] {
        let page = app.get(path).await;
        assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
        let references = [attributes(&page.text, "href"), attributes(&page.text, "src")].concat();
        assert!(references.contains(&"/assets/style.css"), "{path}: {references:?}");
        for reference in references {
            if let Some(id) = reference.strip_prefix('#') {
                assert!(page.text.contains(&format!("id=\"{id}\"")), "{path}: {reference}");
            } else {
                assert!(reference.starts_with('/') && !reference.starts_with("//"), "{path}: {reference}");
                assert_eq!(app.get(reference).await.status, 200, "{path}: {reference}");
            }
        }
        assert!(!page.text.contains("<script>") && !page.text.contains(" style="), "the policy would block it");
    }
    app.stop().await;
}

#[tokio::test]
async fn the_documentation_shows_every_route_and_runs_no_script() {
    let app = TestApp::start().await;
    let page = app.get("/docs").await;
    for path in pymd::api::openapi().paths.paths.keys() {
        assert!(page.text.contains(&format!("<code>{path}</code>")), "{path}");
    }
    assert!(!page.text.contains("<script"));
    assert!(!page.header("content-security-policy").contains("script-src"));
    app.stop().await;
}

#[tokio::test]
async fn a_rendered_document_has_no_rights_on_the_start_page() {
    let app = TestApp::start().await;
    let page = app.get("/").await;
    assert!(page.text.contains(r#"sandbox="""#), "the frame's document runs no script and has no origin");
    let policy = page.header("content-security-policy");
    for part in ["default-src 'none'", "script-src 'self'", "connect-src 'self'", "frame-ancestors 'none'"] {
        assert!(policy.split("; ").any(|directive| directive == part), "{part} in {policy}");
    }
    app.stop().await;
}
