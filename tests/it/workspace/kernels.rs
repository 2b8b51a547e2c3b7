//! Kernels of environments: whatever becomes of the environment, they keep the packages that they began with.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{World, wheel};

const KERNELS: &str = "/api/v1/kernels";

struct Kernel<'a> {
    world: &'a World,
    path: String,
}

impl<'a> Kernel<'a> {
    async fn made(world: &'a World, environment: &str) -> Self {
        let body = json!({"environment_id": environment.rsplit('/').next().unwrap()});
        let made: Value = serde_json::from_str(&world.app.post(KERNELS, &body).await.text).unwrap();
        Self { world, path: format!("{KERNELS}/{}", made["id"].as_str().unwrap()) }
    }

    async fn prints(&self, code: &str) -> String {
        let report = self.world.app.post(&format!("{}/execute", self.path), &json!({"code": code})).await.json();
        assert_eq!(report["outcome"]["kind"], "completed", "{report}");
        report["stdout"].as_str().unwrap().to_owned()
    }

    async fn asks(&self, action: &str) -> Value {
        self.world.app.post(&format!("{}/{action}", self.path), &json!({})).await.json()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_environment_that_changes_does_not_change_its_kernels() {
    let world = World::start().await;
    world.publish("versioned", [wheel("versioned", "1.0", &[]), wheel("versioned", "2.0", &[])]);
    let environment = world.environment("e").await;
    world.install(&environment, &["versioned==1.0"]).await;
    let kernel = Kernel::made(&world, &environment).await;
    assert_eq!(kernel.prints("import versioned; x = 1; print(versioned.version)").await, "1.0\n");
    kernel.asks("hibernate").await;
    world.install(&environment, &["versioned==2.0"]).await;
    let read_again = "import importlib; importlib.reload(versioned); print(versioned.version, x)";
    assert_eq!(kernel.prints(read_again).await, "1.0 1\n");
    kernel.asks("hibernate").await;
    // A restart brings the packages that the environment has now.
    kernel.asks("restart").await;
    assert_eq!(kernel.prints("import versioned; print(versioned.version, 'x' in globals())").await, "2.0 False\n");
    kernel.asks("hibernate").await;
    assert_eq!(kernel.prints(&read_again.replace(", x", "")).await, "2.0\n");
    // One that is awake, too.
    world.install(&environment, &["versioned==1.0"]).await;
    kernel.asks("restart").await;
    assert_eq!(kernel.prints("import versioned; print(versioned.version)").await, "1.0\n");
    kernel.asks("hibernate").await;
    assert_eq!(kernel.prints("print(versioned.version)").await, "1.0\n");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kernel_outlives_its_environment() {
    let world = World::start().await;
    world.publish("versioned", [wheel("versioned", "1.0", &[])]);
    let environment = world.environment("e").await;
    world.install(&environment, &["versioned"]).await;
    let kernel = Kernel::made(&world, &environment).await;
    kernel.prints("import versioned; x = 1").await;
    kernel.asks("hibernate").await;
    assert_eq!(world.send(Method::DELETE, &environment, None).await.status, StatusCode::NO_CONTENT);
    assert_eq!(kernel.prints("print(versioned.version, x)").await, "1.0 1\n");
    let problem = world.app.post(&format!("{}/restart", kernel.path), &json!({})).await.problem(409, "conflict");
    assert!(problem["detail"].as_str().unwrap().contains("environment is gone"), "{problem}");
    assert_eq!(kernel.prints("print(x)").await, "1\n");
    world.stop().await;
}
