//! The REST API and the pages: the route table, and what every request goes through.
//!
//! ```text
//! request -> layers::around (id, host, log, metrics, headers) -> panic -> guard (token) -> handler -> service
//! ```
//!
//! A handler extracts, calls one function of the service, and answers; [`error`] is the only map from what can go
//! wrong to a status.

pub mod access;
mod account;
mod admin;
mod document_files;
mod document_render;
mod document_versions;
mod documents;
mod environments;
pub mod error;
mod etag;
mod execute;
mod executions;
mod extract;
mod guard;
mod health;
mod jobs;
mod kernels;
mod layers;
mod login;
mod metrics;
mod openapi;
mod packages;
mod publications;
mod rates;
mod render;
mod request_id;
mod schedules;
mod server;
mod sse;
mod state;
mod users;
mod watch;
mod ws;

use axum::middleware::{from_fn, from_fn_with_state};
use axum::{Extension, Router};
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use error::{ApiError, ProblemDetails};
pub use openapi::document as openapi;
pub use server::serve;
pub use state::App;

use crate::web;

/// Every route there is.
fn table() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(openapi::base())
        .routes(routes!(health::health))
        .routes(routes!(execute::execute))
        .routes(routes!(render::render))
        .routes(routes!(render::preview))
        .routes(routes!(render::validate))
        .routes(routes!(kernels::list, kernels::create))
        .routes(routes!(kernels::show, kernels::delete))
        .routes(routes!(kernels::run))
        .routes(routes!(kernels::events))
        .routes(routes!(kernels::interrupt))
        .routes(routes!(kernels::restart))
        .routes(routes!(kernels::fork))
        .routes(routes!(kernels::hibernate))
        .routes(routes!(kernels::checkpoints))
        .routes(routes!(kernels::restore))
        .routes(routes!(kernels::complete))
        .routes(routes!(kernels::inspect))
        .routes(routes!(executions::list, executions::delete_all))
        .routes(routes!(executions::stats))
        .routes(routes!(executions::show, executions::delete))
        .routes(routes!(environments::list, environments::create))
        .routes(routes!(environments::stats))
        .routes(routes!(environments::templates))
        .routes(routes!(environments::show, environments::update, environments::delete))
        .routes(routes!(environments::reset))
        .routes(routes!(environments::duplicate))
        .routes(routes!(environments::lockfile))
        .routes(routes!(environments::requirements))
        .routes(routes!(packages::list, packages::install))
        .routes(routes!(packages::import))
        .routes(routes!(packages::show, packages::uninstall))
        .routes(routes!(documents::list, documents::create))
        .routes(routes!(documents::tags))
        .routes(routes!(documents::show, documents::update, documents::delete))
        .routes(routes!(documents::duplicate))
        .routes(routes!(documents::restore))
        .routes(routes!(document_render::import))
        .routes(routes!(document_render::render, document_render::render_now))
        .routes(routes!(document_render::export))
        .routes(routes!(document_versions::list))
        .routes(routes!(document_versions::show))
        .routes(routes!(document_versions::diff))
        .routes(routes!(document_versions::restore))
        .routes(routes!(document_files::list))
        .routes(routes!(document_files::download, document_files::put, document_files::delete))
        .routes(routes!(schedules::list))
        .routes(routes!(schedules::show, schedules::put, schedules::delete))
        .routes(routes!(publications::show, publications::create, publications::delete))
        .routes(routes!(publications::page))
        .routes(routes!(jobs::list))
        .routes(routes!(jobs::show))
        .routes(routes!(jobs::cancel))
        .routes(routes!(jobs::result))
        .routes(routes!(jobs::events))
        .routes(routes!(ws::connect))
        .routes(routes!(account::me))
        .routes(routes!(login::login))
        .routes(routes!(login::callback))
        .routes(routes!(login::logout))
        .routes(routes!(users::show, users::update, users::delete))
        .routes(routes!(users::settings, users::update_settings))
        .routes(routes!(users::export))
        .routes(routes!(account::keys, account::create_key))
        .routes(routes!(account::revoke_key))
        .routes(routes!(admin::users, account::create_user))
        .routes(routes!(admin::user, admin::change_user))
        .routes(routes!(admin::tiers, admin::create_tier))
        .routes(routes!(admin::tier, admin::change_tier, admin::delete_tier))
        .routes(routes!(admin::environment_limits, admin::set_environment_limits))
        .routes(routes!(admin::audit))
        .routes(routes!(metrics::metrics))
        .routes(routes!(openapi::openapi))
        .routes(routes!(web::home))
        .routes(routes!(web::docs))
        .routes(routes!(web::asset))
}

/// The routes for those who may ask, with everything around them.
fn router(app: App) -> Router {
    let (routes, _) = table().split_for_parts();
    let routes = routes
        .method_not_allowed_fallback(error::method_not_allowed)
        .route_layer(from_fn_with_state(app.clone(), rates::by_user))
        .route_layer(from_fn_with_state(app.clone(), guard::authenticate))
        .route_layer(from_fn_with_state(app.clone(), rates::by_address))
        .fallback(error::not_found);
    let host = app.accounts().policy().public_url.clone().map(guard::PublicUrl);
    // Outside of what is around the routes, which asks for it.
    around(routes.with_state(app)).layer(Extension(host))
}

/// What every request goes through, around any routes.
pub fn around(routes: Router) -> Router {
    routes.layer(CatchPanicLayer::custom(error::panicked)).layer(from_fn(layers::around))
}
