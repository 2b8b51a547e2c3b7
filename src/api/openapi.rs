//! `GET /openapi.json`: the description of the API, made from the route table.

use std::sync::LazyLock;

use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use utoipa::openapi::OpenApi as Document;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::error::ProblemDetails;
use super::{render, table};
use crate::domain::{DocumentEvent, Event, InstallEvent, JobEvent, KernelEvent};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "PyMD",
        description = "Runs Python in a sandbox and renders PyMD documents. Errors are RFC 9457 problems."
    ),
    tags(
        (name = "run", description = "Run code, render documents"),
        (name = "kernels", description = "Interpreters that stay between cells"),
        (name = "executions", description = "The history of what ran"),
        (name = "environments", description = "Named sets of packages"),
        (name = "packages", description = "What is in an environment"),
        (name = "documents", description = "Texts that are kept, with their versions and files"),
        (name = "jobs", description = "Work that goes on when nobody waits for it"),
        (name = "accounts", description = "Who asks"),
        (name = "admin", description = "Running the system: for admins"),
        (name = "server", description = "The server itself"),
        (name = "pages", description = "Pages for people")
    ),
    components(schemas(ProblemDetails, Event, InstallEvent, JobEvent, KernelEvent, DocumentEvent, render::CellEvent, render::CellEnd)),
    security(("bearer" = []), ("session" = [])),
    modifiers(&Schemes)
)]
struct Base;

struct Schemes;

impl Modify for Schemes {
    fn modify(&self, document: &mut Document) {
        let components = document.components.get_or_insert_default();
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("The server's token, an API key, or an access token of the identity provider"))
            .build();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
        let cookie = ApiKeyValue::with_description(
            "pymd_session_PORT",
            "Set by opening a page with `?token=TOKEN`; a login sets `pymd_user_PORT`, behind TLS `__Host-pymd_user`",
        );
        components.add_security_scheme("session", SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
    }
}

/// Everything but the routes.
pub fn base() -> Document {
    Base::openapi()
}

/// The description of all routes.
pub fn document() -> Document {
    let mut document = table().into_openapi();
    // The router's way to write a part that may have slashes in it, which OpenAPI does not know.
    let paths = std::mem::take(&mut document.paths.paths);
    document.paths.paths = paths.into_iter().map(|(path, item)| (path.replace("{*", "{"), item)).collect();
    name_operations(&mut document);
    document
}

/// Names each operation by its method and path, as `post_kernels_id_fork`: the names of functions repeat themselves, and
/// programs that write clients need each name once.
fn name_operations(document: &mut Document) {
    for (path, item) in &mut document.paths.paths {
        let path = path.strip_prefix("/api/v1").unwrap_or(path);
        let words = path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        let place = words.map(|word| format!("_{word}")).collect::<String>();
        let operations = [
            ("get", &mut item.get),
            ("put", &mut item.put),
            ("post", &mut item.post),
            ("patch", &mut item.patch),
            ("delete", &mut item.delete),
        ];
        for (method, operation) in operations {
            if let Some(operation) = operation {
                operation.operation_id = Some(format!("{method}{place}"));
            }
        }
    }
}

static JSON: LazyLock<Bytes> = LazyLock::new(|| document().to_json().unwrap_or_default().into());

/// This description.
#[utoipa::path(get, path = "/openapi.json", tag = "server", responses(
    (status = 200, description = "The OpenAPI document", body = Object),
    (status = 401, description = "There is no token, or a wrong one", body = ProblemDetails,
     content_type = "application/problem+json")))]
pub async fn openapi() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], JSON.clone())
}
