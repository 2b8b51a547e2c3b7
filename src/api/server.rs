//! The server as a function of a listener and of the wish that it stops.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::serve::ListenerExt as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{App, router};

/// After the grace period, answers have this long to reach their clients.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Serves until `shutdown` is cancelled, and then until the running requests are answered: new work is refused,
/// running cells get the configured grace period and are cancelled then.
///
/// # Errors
/// The listener fails.
pub async fn serve(app: App, listener: TcpListener, shutdown: CancellationToken) -> io::Result<()> {
    let listener = listener.tap_io(|connection| {
        // Events are small and wanted at once. A socket that refuses only makes them later.
        let _ = connection.set_nodelay(true);
    });
    let service = router(app.clone()).into_make_service_with_connect_info::<SocketAddr>();
    let server = axum::serve(listener, service).with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let stop = async {
        shutdown.cancelled().await;
        app.drain();
        tokio::time::sleep(app.http().shutdown_grace).await;
        tracing::warn!("the grace period is over: what still runs is cancelled");
        app.end();
        tokio::time::sleep(LAST_WORDS).await;
    };
    let served = tokio::select! {
        result = async { server.await } => result,
        () = stop => Ok(()),
        () = app.metrics().clone().upkeep() => Ok(()),
    };
    // Connections that were taken over, as by WebSockets, hear of it only so.
    app.end();
    served
}
