//! Fetches what the solver needs, all of it at once.

use std::collections::HashSet;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::StreamExt;
use futures::future::FutureExt;
use futures::stream::FuturesUnordered;
use pep508_rs::PackageName;

use super::error::{ProviderError, ResolveError};
use super::facts::Facts;
use super::request::Request;
use super::resolution::Resolution;
use super::solver::{Need, Step, solve_until};
use crate::packages::project::{CoreMetadata, DistFile, Project};

/// The most questions that are open at a time.
const MAX_IN_FLIGHT: usize = 64;
/// The most questions of one resolution.
const MAX_QUESTIONS: usize = 5_000;

/// Where facts come from.
pub trait Provider: Sync {
    /// The files of a project.
    fn project(&self, name: &PackageName) -> impl Future<Output = Result<Arc<Project>, ProviderError>> + Send;

    /// The metadata of one of its wheels.
    fn metadata(&self, file: &DistFile) -> impl Future<Output = Result<Arc<CoreMetadata>, ProviderError>> + Send;
}

enum Answer {
    Project(Result<Arc<Project>, ProviderError>),
    Metadata(Result<Arc<CoreMetadata>, ProviderError>),
}

/// Resolves a request. A cold one takes about as many round trips as the dependencies are deep, twice: after each
/// answer the solver goes as far as it can, and whatever it would look at next is asked for at once.
///
/// The solver runs on the blocking threads of the tokio runtime, and stops when this future is dropped.
///
/// # Errors
/// There is no solution, or the index does not answer.
pub async fn resolve(provider: &impl Provider, request: Request) -> Result<Resolution, ResolveError> {
    let request = Arc::new(request);
    let mut facts = Facts::new(request.target.clone());
    let mut in_flight = FuturesUnordered::new();
    let mut asked = HashSet::new();
    let mut answers = Vec::new();
    loop {
        let (known, step) = solve_aside(Arc::clone(&request), facts, std::mem::take(&mut answers)).await?;
        facts = known;
        let needs = match step {
            Step::Solved(resolution) => return Ok(*resolution),
            Step::Failed(error) => return Err(error),
            Step::Needs(needs) => needs,
        };
        for need in needs {
            if in_flight.len() == MAX_IN_FLIGHT {
                break;
            }
            if asked.insert(need.key()) {
                in_flight.push(ask(provider, need));
            }
        }
        if asked.len() > MAX_QUESTIONS {
            return Err(ResolveError::TooComplex);
        }
        // What is still needed and was answered already would be asked for for ever.
        let Some(first) = in_flight.next().await else { return Err(ResolveError::Internal) };
        answers.push(first);
        while let Some(Some(next)) = in_flight.next().now_or_never() {
            answers.push(next);
        }
    }
}

/// Takes the answers in and runs the solver, where both may take their time.
async fn solve_aside(
    request: Arc<Request>,
    mut facts: Facts,
    answers: Vec<(Need, Answer)>,
) -> Result<(Facts, Step), ResolveError> {
    struct Cancel(Arc<AtomicBool>);
    impl Drop for Cancel {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let cancel = Cancel(Arc::new(AtomicBool::new(false)));
    let cancelled = Arc::clone(&cancel.0);
    let solved = tokio::task::spawn_blocking(move || {
        answers.into_iter().try_for_each(|answer| learn(&mut facts, answer))?;
        let step = solve_until(&request, &facts, &cancelled);
        Ok((facts, step))
    });
    solved.await.map_err(|_| ResolveError::Internal)?
}

async fn ask(provider: &impl Provider, need: Need) -> (Need, Answer) {
    let answer = match &need {
        Need::Project { name } => Answer::Project(provider.project(name).await),
        Need::Metadata { file, .. } => Answer::Metadata(provider.metadata(file).await),
    };
    (need, answer)
}

fn learn(facts: &mut Facts, (need, answer): (Need, Answer)) -> Result<(), ResolveError> {
    let unavailable = |package: PackageName, reason: String| Err(ResolveError::Index { package, reason });
    match (need, answer) {
        (Need::Project { name }, Answer::Project(answer)) => match answer {
            Ok(project) if project.name == name => facts.add_project(project),
            Ok(project) => facts.add_broken_project(name, format!("the index answers with `{}`", project.name)),
            Err(ProviderError::NotFound) => facts.add_missing_project(name),
            Err(ProviderError::Bad(reason)) => facts.add_broken_project(name, reason),
            Err(ProviderError::Unavailable(reason)) => return unavailable(name, reason),
        },
        (Need::Metadata { name, version, .. }, Answer::Metadata(answer)) => match answer {
            Ok(metadata) => facts.add_metadata(&name, &version, metadata),
            Err(ProviderError::Unavailable(reason)) => return unavailable(name, reason),
            Err(error) => facts.add_broken_metadata(&name, &version, error.to_string()),
        },
        _ => return Err(ResolveError::Internal),
    }
    Ok(())
}
