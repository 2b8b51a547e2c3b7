//! What each route needs of who asks: the one place where that is said. A route that is not listed is closed.

use std::collections::HashMap;
use std::sync::LazyLock;

use axum::http::Method;
use serde::Serialize;

use crate::domain::{Principal, Role, Scope};
use Needs::{Admin, All, OneOf, Public, Scoped, User};

/// What a route needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Needs {
    /// Nothing: anybody may ask.
    Public,
    /// Anybody who is known, whatever their credential may be used for.
    User,
    /// A credential that may be used for this.
    Scoped(Scope),
    /// A credential that may be used for one of these.
    OneOf(&'static [Scope]),
    /// A credential that may be used for all of these.
    All(&'static [Scope]),
    /// An admin, and a credential that may be used for what only admins may.
    Admin,
}

/// Why somebody may not do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lack {
    /// They are no admin.
    Role,
    /// What they came with may not be used for it.
    Scope(Scope),
}

const READ: Needs = Scoped(Scope::Read);
const WRITE: Needs = Scoped(Scope::Write);
const EXECUTE: Needs = Scoped(Scope::Execute);
/// What is begun by either may be ended by either.
const WRITE_OR_EXECUTE: Needs = OneOf(&[Scope::Write, Scope::Execute]);
/// What is kept so that it runs later.
const WRITE_AND_EXECUTE: Needs = All(&[Scope::Write, Scope::Execute]);

/// What takes away all that there is.
const EVERYTHING: Needs = All(&[Scope::Read, Scope::Write, Scope::Execute]);

/// Every route, as the router names it.
const ROUTES: &[(&str, &[(&str, Needs)])] = &[
    ("/", &[("GET", User)]),
    ("/docs", &[("GET", User)]),
    ("/assets/{name}", &[("GET", User)]),
    ("/openapi.json", &[("GET", User)]),
    ("/health", &[("GET", Public)]),
    ("/metrics", &[("GET", Admin)]),
    ("/p/{token}", &[("GET", Public)]),
    ("/api/v1/auth/me", &[("GET", User)]),
    ("/api/v1/auth/login", &[("GET", Public)]),
    ("/api/v1/auth/callback", &[("GET", Public)]),
    ("/api/v1/auth/logout", &[("POST", User)]),
    ("/api/v1/api-keys", &[("GET", READ), ("POST", WRITE)]),
    ("/api/v1/api-keys/{id}", &[("DELETE", WRITE)]),
    ("/api/v1/users/me", &[("GET", READ), ("PATCH", WRITE), ("DELETE", EVERYTHING)]),
    ("/api/v1/users/me/settings", &[("GET", READ), ("PATCH", WRITE)]),
    ("/api/v1/users/me/export", &[("GET", READ)]),
    ("/api/v1/admin/users", &[("GET", Admin), ("POST", Admin)]),
    ("/api/v1/admin/users/{id}", &[("GET", Admin), ("PATCH", Admin)]),
    ("/api/v1/admin/tiers", &[("GET", Admin), ("POST", Admin)]),
    ("/api/v1/admin/tiers/{name}", &[("GET", Admin), ("PATCH", Admin), ("DELETE", Admin)]),
    ("/api/v1/admin/environments/{id}/limits", &[("GET", Admin), ("PUT", Admin)]),
    ("/api/v1/admin/audit", &[("GET", Admin)]),
    ("/api/v1/execute", &[("POST", EXECUTE)]),
    ("/api/v1/render", &[("POST", EXECUTE)]),
    ("/api/v1/render/preview", &[("POST", EXECUTE)]),
    ("/api/v1/render/validate", &[("POST", READ)]),
    // What is to be shown has to be run first.
    ("/api/v1/render/documents/{id}", &[("GET", EXECUTE), ("POST", EXECUTE)]),
    ("/api/v1/render/documents/{id}/export", &[("GET", EXECUTE)]),
    ("/api/v1/kernels", &[("GET", READ), ("POST", EXECUTE)]),
    ("/api/v1/kernels/{id}", &[("GET", READ), ("DELETE", EXECUTE)]),
    ("/api/v1/kernels/{id}/execute", &[("POST", EXECUTE)]),
    ("/api/v1/kernels/{id}/events", &[("GET", READ)]),
    ("/api/v1/kernels/{id}/interrupt", &[("POST", EXECUTE)]),
    ("/api/v1/kernels/{id}/restart", &[("POST", EXECUTE)]),
    ("/api/v1/kernels/{id}/fork", &[("POST", EXECUTE)]),
    ("/api/v1/kernels/{id}/hibernate", &[("POST", EXECUTE)]),
    ("/api/v1/kernels/{id}/checkpoints", &[("GET", READ)]),
    ("/api/v1/kernels/{id}/restore", &[("POST", EXECUTE)]),
    ("/api/v1/kernels/{id}/complete", &[("POST", EXECUTE)]),
    ("/api/v1/kernels/{id}/inspect", &[("POST", EXECUTE)]),
    ("/api/v1/executions", &[("GET", READ), ("DELETE", WRITE)]),
    ("/api/v1/executions/stats", &[("GET", READ)]),
    ("/api/v1/executions/{id}", &[("GET", READ), ("DELETE", WRITE)]),
    ("/api/v1/environments", &[("GET", READ), ("POST", WRITE)]),
    ("/api/v1/environments/stats", &[("GET", READ)]),
    ("/api/v1/environment-templates", &[("GET", READ)]),
    ("/api/v1/environments/{id}", &[("GET", READ), ("PATCH", WRITE), ("DELETE", WRITE)]),
    ("/api/v1/environments/{id}/reset", &[("POST", WRITE)]),
    ("/api/v1/environments/{id}/clone", &[("POST", WRITE)]),
    ("/api/v1/environments/{id}/lockfile", &[("GET", READ)]),
    ("/api/v1/environments/{id}/requirements.txt", &[("GET", READ)]),
    ("/api/v1/environments/{id}/packages", &[("GET", READ), ("POST", WRITE)]),
    ("/api/v1/environments/{id}/packages/import", &[("POST", WRITE)]),
    ("/api/v1/environments/{id}/packages/{name}", &[("GET", READ), ("DELETE", WRITE)]),
    ("/api/v1/documents", &[("GET", READ), ("POST", WRITE)]),
    ("/api/v1/documents/import", &[("POST", WRITE)]),
    ("/api/v1/documents/tags", &[("GET", READ)]),
    ("/api/v1/documents/{id}", &[("GET", READ), ("PATCH", WRITE), ("DELETE", WRITE)]),
    ("/api/v1/documents/{id}/duplicate", &[("POST", WRITE)]),
    ("/api/v1/documents/{id}/restore", &[("POST", WRITE)]),
    ("/api/v1/documents/{id}/versions", &[("GET", READ)]),
    ("/api/v1/documents/{id}/versions/{version}", &[("GET", READ)]),
    ("/api/v1/documents/{id}/versions/{version}/diff", &[("GET", READ)]),
    ("/api/v1/documents/{id}/versions/{version}/restore", &[("POST", WRITE)]),
    ("/api/v1/documents/{id}/files", &[("GET", READ)]),
    ("/api/v1/documents/{id}/files/{*path}", &[("GET", READ), ("PUT", WRITE), ("DELETE", WRITE)]),
    ("/api/v1/documents/{id}/publication", &[("GET", READ), ("POST", WRITE), ("DELETE", WRITE)]),
    ("/api/v1/documents/{id}/schedule", &[("GET", READ), ("PUT", WRITE_AND_EXECUTE), ("DELETE", WRITE)]),
    ("/api/v1/schedules", &[("GET", READ)]),
    ("/api/v1/jobs", &[("GET", READ)]),
    ("/api/v1/jobs/{id}", &[("GET", READ)]),
    ("/api/v1/jobs/{id}/cancel", &[("POST", WRITE_OR_EXECUTE)]),
    ("/api/v1/jobs/{id}/result", &[("GET", READ)]),
    ("/api/v1/jobs/{id}/events", &[("GET", READ)]),
    ("/api/v1/ws", &[("GET", READ)]),
];

static TABLE: LazyLock<HashMap<&str, &[(&str, Needs)]>> = LazyLock::new(|| ROUTES.iter().copied().collect());

/// Every route's method, its path as the OpenAPI document has it, and what it needs.
pub fn routes() -> impl Iterator<Item = (&'static str, String, Needs)> {
    let named = |path: &str| path.replace("{*", "{");
    ROUTES
        .iter()
        .flat_map(move |(path, methods)| methods.iter().map(move |(method, needs)| (*method, named(path), *needs)))
}

/// What a method of a route needs, or the methods that the route has.
pub(super) fn needs(method: &Method, route: &str) -> Result<Needs, &'static [(&'static str, Needs)]> {
    let methods = TABLE.get(route).copied().unwrap_or_default();
    // The router answers HEAD with what GET is.
    let name = if method == Method::HEAD { "GET" } else { method.as_str() };
    let found = methods.iter().find(|(listed, _)| *listed == name);
    found.map(|(_, needs)| *needs).ok_or(methods)
}

impl Needs {
    /// Whether who came may do it.
    pub(super) fn check(self, principal: &Principal) -> Result<(), Lack> {
        let scopes = principal.scopes;
        let wants = |scope: Scope| if scopes.has(scope) { Ok(()) } else { Err(Lack::Scope(scope)) };
        match self {
            Public | User => Ok(()),
            Scoped(scope) => wants(scope),
            All(several) => several.iter().try_for_each(|scope| wants(*scope)),
            OneOf([first, rest @ ..]) => wants(*first)
                .or_else(|lack| if rest.iter().any(|scope| scopes.has(*scope)) { Ok(()) } else { Err(lack) }),
            OneOf([]) => Err(Lack::Role),
            Admin if principal.user.role != Role::Admin => Err(Lack::Role),
            Admin => wants(Scope::Admin),
        }
    }
}
