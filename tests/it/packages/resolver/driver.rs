//! The driver: what it asks for, how often, and how much of it at once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use pep508_rs::PackageName;
use pymd::packages::project::{CoreMetadata, DistFile, Project};
use pymd::packages::resolver::{Provider, ProviderError, ResolveError, resolve};
use tokio::sync::Barrier;

use super::world::{World, locked, package, request, world};

/// An index that counts, and whose answers wait for each other where a barrier says so.
struct Counting {
    world: World,
    calls: Mutex<Vec<String>>,
    barriers: BTreeMap<&'static str, Arc<Barrier>>,
    failing: BTreeMap<&'static str, ProviderError>,
}

impl Counting {
    fn new(text: &str) -> Self {
        Self { world: world(text), calls: Mutex::default(), barriers: BTreeMap::new(), failing: BTreeMap::new() }
    }

    /// These are answered only once all of them have been asked for.
    fn together(mut self, calls: &[&'static str]) -> Self {
        let barrier = Arc::new(Barrier::new(calls.len()));
        self.barriers.extend(calls.iter().map(|call| (*call, Arc::clone(&barrier))));
        self
    }

    fn failing(mut self, call: &'static str, error: ProviderError) -> Self {
        self.failing.insert(call, error);
        self
    }

    async fn called(&self, call: &str) -> Result<(), ProviderError> {
        self.calls.lock().expect("the calls").push(call.to_owned());
        if let Some(barrier) = self.barriers.get(call) {
            barrier.wait().await;
        }
        self.failing.get(call).cloned().map_or(Ok(()), Err)
    }

    fn calls(&self) -> Vec<String> {
        let mut calls = self.calls.lock().expect("the calls").clone();
        calls.sort();
        calls
    }
}

impl Provider for Counting {
    async fn project(&self, name: &PackageName) -> Result<Arc<Project>, ProviderError> {
        self.called(name.as_ref()).await?;
        self.world.projects.get(name).cloned().ok_or(ProviderError::NotFound)
    }

    async fn metadata(&self, file: &DistFile) -> Result<Arc<CoreMetadata>, ProviderError> {
        let mut parts = file.filename.split('-');
        let (name, version) = (parts.next().expect("a name"), parts.next().expect("a version"));
        self.called(&format!("{name} {version}")).await?;
        let key = (package(name), version.parse().expect("a version"));
        self.world.metadata.get(&key).cloned().ok_or(ProviderError::NotFound)
    }
}

#[tokio::test]
async fn everything_is_asked_for_once_and_nothing_else() {
    let index = Counting::new("a 1.0: c\n a 2.0: b | c | numpy\n b 1.0: c\n c 1.0\n c 0.9\n d 1.0");
    let resolution = resolve(&index, request(["a", "c"])).await.unwrap();
    assert_eq!(locked(&resolution), "a 2.0, b 1.0, c 1.0");
    assert_eq!(index.calls(), ["a", "a 2.0", "b", "b 1.0", "c", "c 1.0"]);
}

#[tokio::test]
async fn what_can_be_asked_for_at_once_is() {
    let index = Counting::new("a 1.0: c | d\n b 1.0: e\n c 1.0: f\n d 1.0: f\n e 1.0: f\n f 1.0")
        .together(&["a", "b"])
        .together(&["a 1.0", "b 1.0"])
        .together(&["c", "d", "e"])
        .together(&["c 1.0", "d 1.0", "e 1.0"]);
    let resolution = resolve(&index, request(["a", "b"])).await.unwrap();
    assert_eq!(locked(&resolution), "a 1.0, b 1.0, c 1.0, d 1.0, e 1.0, f 1.0");
}

#[tokio::test]
async fn one_slow_answer_does_not_hold_up_the_rest() {
    // The list of `slow` comes only once all of the other branch has been asked for.
    let index = Counting::new("a 1.0: b\n b 1.0: c\n c 1.0\n slow 1.0").together(&["slow", "c 1.0"]);
    let resolution = resolve(&index, request(["slow", "a"])).await.unwrap();
    assert_eq!(locked(&resolution), "a 1.0, b 1.0, c 1.0, slow 1.0");
}

#[tokio::test]
async fn rejected_versions_are_asked_for_in_growing_batches() {
    let mut text = "z 1.0\n".to_owned();
    (0..40).for_each(|minor| text.push_str(&format!("a 1.{minor}: z>=2\n")));
    text.push_str("a 0.9: z<2\n");
    let index = Counting::new(&text).together(&["a 1.38", "a 1.37"]).together(&["a 1.36", "a 1.33"]);
    let resolution = resolve(&index, request(["z", "a"])).await.unwrap();
    assert_eq!(locked(&resolution), "a 0.9, z 1.0");
}

#[tokio::test]
async fn an_index_that_is_down_is_told_as_such() {
    let down = ProviderError::Unavailable("it timed out".to_owned());
    for call in ["b", "b 1.0"] {
        let index = Counting::new("a 1.0: b\n b 1.0").failing(call, down.clone());
        let error = resolve(&index, request(["a"])).await.unwrap_err();
        assert_eq!(error.to_string(), "`b` can't be looked up: it timed out");
        assert_eq!(error.roots(), [0; 0]);
    }
}

#[tokio::test]
async fn what_can_not_be_read_counts_as_unusable() {
    let bad = ProviderError::Bad("it is not metadata".to_owned());
    let index = Counting::new("a 1.0: b\n b 1.0\n b 1.1").failing("b 1.1", bad.clone());
    assert_eq!(locked(&resolve(&index, request(["a"])).await.unwrap()), "a 1.0, b 1.0");
    let index = Counting::new("a 1.0: b\n b 1.0").failing("b", bad);
    let error = resolve(&index, request(["a"])).await.unwrap_err();
    assert_eq!(error.to_string(), "`b` (needed by a) can't be used: it is not metadata");
    let index = Counting::new("a 1.0").failing("a 1.0", ProviderError::NotFound);
    let error = resolve(&index, request(["a"])).await.unwrap_err();
    assert!(matches!(error, ResolveError::Unusable { .. }), "{error}");
}

#[tokio::test]
async fn it_can_run_in_a_task_and_be_given_up() {
    let index = Arc::new(Counting::new("a 1.0").together(&["a", "never"]));
    let task = tokio::spawn({
        let index = Arc::clone(&index);
        async move { resolve(&*index, request(["a"])).await }
    });
    while index.calls().is_empty() {
        tokio::task::yield_now().await;
    }
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
}
