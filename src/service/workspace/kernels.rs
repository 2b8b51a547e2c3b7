//! Users' kernels: those in memory, those that hibernate, and those that other servers hold.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::Workspace;
use super::change::names;
use crate::backend::EventSender;
use crate::backend::wasm::EnvironmentBase;
use crate::domain::{
    CheckpointInfo, Completion, Environment, EnvironmentId, ExecuteReport, Inspection, KernelId, KernelInfo,
    KernelPackages, KernelState, Page, PageRequest, UserId,
};
use crate::service::install::PackageSet;
use crate::service::kernels::{Beginning, Entry, Turn};
use crate::service::{At, CreateKernel, ExecuteCell, ForkKernel, RestoreKernel, ServiceError};
use crate::store::{Asked, KernelTake};

impl Workspace {
    /// Makes a kernel in an environment: the one that the request names, or else the user's default one.
    ///
    /// # Errors
    /// There is no such environment, a limit is none, or the user has as many kernels as the tier allows.
    pub async fn create_kernel(&self, user: UserId, request: CreateKernel) -> Result<KernelInfo, ServiceError> {
        let environment = self.chosen(user, request.environment_id).await?;
        let beginning = self.beginning_in(&environment).await?;
        let request = CreateKernel { environment_id: Some(environment.id), ..request };
        let made = self.0.kernels.create(user, request, beginning).await?;
        self.keep_few_kernels(user);
        Ok(made)
    }

    /// A user's kernels, the eldest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn list_kernels(&self, user: UserId, request: PageRequest) -> Result<Page<KernelInfo>, ServiceError> {
        let mut page = self.0.database.kernels(user, request).await?;
        for kernel in &mut page.items {
            if let Some(entry) = self.0.kernels.live(user, kernel.id) {
                *kernel = entry.info();
            }
        }
        Ok(page)
    }

    /// A kernel of the user. It is not woken.
    ///
    /// # Errors
    /// There is none.
    pub async fn show_kernel(&self, user: UserId, id: KernelId) -> Result<KernelInfo, ServiceError> {
        match self.0.kernels.live(user, id) {
            Some(entry) => Ok(entry.info()),
            None => Ok(self.0.database.kernel(user, id).await?.0),
        }
    }

    /// The checkpoints of a kernel, the eldest first. It is not woken.
    ///
    /// # Errors
    /// There is no such kernel.
    pub async fn kernel_checkpoints(&self, user: UserId, id: KernelId) -> Result<Vec<CheckpointInfo>, ServiceError> {
        if let Some(entry) = self.0.kernels.live(user, id) {
            return Ok(entry.checkpoints());
        }
        let (_, history) = self.0.database.kernel(user, id).await?;
        Ok(history.checkpoints.into_iter().map(|(_, info)| info).collect())
    }

    /// Runs a cell in a kernel, after those that came before. Where it hits a limit, or the future is dropped, it is
    /// undone, and the kernel goes on from where it was.
    ///
    /// # Errors
    /// There is no such kernel, it is dead, too many cells wait, or a failure of the host.
    pub async fn execute_in_kernel(
        &self,
        user: UserId,
        id: KernelId,
        request: ExecuteCell,
        events: Option<EventSender>,
    ) -> Result<ExecuteReport, ServiceError> {
        let cancel = CancellationToken::new();
        // A task of its own: whoever goes away leaves a whole kernel behind.
        let _guard = cancel.clone().drop_guard();
        let this = self.clone();
        let work = tokio::spawn(async move {
            let turn = tokio::select! {
                biased;
                () = cancel.cancelled() => {
                    return Err(ServiceError::Conflict { message: "nobody waited for the cell any more".to_owned() });
                }
                turn = this.turn_in_kernel(user, id) => turn?,
            };
            this.0.kernels.execute(turn, request, events, cancel).await
        });
        work.await.map_err(|error| ServiceError::internal(&error))?
    }

    /// Cancels the cell that a kernel runs, if it runs one: it is undone.
    ///
    /// # Errors
    /// There is no such kernel.
    pub async fn interrupt_kernel(&self, user: UserId, id: KernelId) -> Result<KernelInfo, ServiceError> {
        if let Some(entry) = self.0.kernels.live(user, id) {
            entry.interrupt();
            return Ok(entry.info());
        }
        let (info, _) = self.0.database.kernel(user, id).await?;
        if !matches!(info.state, KernelState::Hibernated | KernelState::Dead) {
            self.0.database.ask_for_kernel(id, Asked::Interrupt).await?;
        }
        Ok(info)
    }

    /// Lets a kernel begin anew, with the packages that its environment has now; a cell that it runs is cancelled.
    ///
    /// # Errors
    /// There is no such kernel, or a failure of the host.
    pub async fn restart_kernel(&self, user: UserId, id: KernelId) -> Result<KernelInfo, ServiceError> {
        let (info, _) = self.0.database.kernel(user, id).await?;
        let beginning = match info.environment_id {
            Some(environment) => self.beginning_of(user, environment).await?,
            None => Beginning::default(),
        };
        loop {
            if let Some(entry) = self.0.kernels.live(user, id) {
                entry.interrupt();
                let turn = entry.take_turn().await?;
                if entry.is_gone() {
                    continue;
                }
                self.0.kernels.restart(&entry, beginning, &turn).await?;
                return Ok(entry.info());
            }
            let _turn = self.0.kernels.turns().take(id).await;
            if self.0.kernels.live(user, id).is_some() {
                continue;
            }
            let taken = self.0.kernels.take(user, id).await?;
            return match self.0.kernels.begin_anew(&taken, beginning).await {
                Ok(entry) => Ok(entry.info()),
                Err(error) => {
                    self.0.kernels.give_back(&taken).await;
                    Err(error)
                }
            };
        }
    }

    /// Makes kernels with all that a kernel knows at this moment; each goes its own way from there.
    ///
    /// # Errors
    /// There is no such kernel, it is dead, or the user has as many as the tier allows.
    pub async fn fork_kernel(
        &self,
        user: UserId,
        id: KernelId,
        request: &ForkKernel,
    ) -> Result<Vec<KernelInfo>, ServiceError> {
        let entry = self.awake(user, id).await?;
        let forks = self.0.kernels.fork(&entry, request).await?;
        self.keep_few_kernels(user);
        Ok(forks)
    }

    /// Takes a kernel back to one of its checkpoints. Those behind it stay: it can go there again.
    ///
    /// # Errors
    /// There is no such kernel, or no such checkpoint of it.
    pub async fn restore_kernel(
        &self,
        user: UserId,
        id: KernelId,
        request: RestoreKernel,
    ) -> Result<KernelInfo, ServiceError> {
        let (entry, turn) = self.turn_in_kernel(user, id).await?;
        self.0.kernels.restore(&entry, request.checkpoint_id, &turn).await?;
        Ok(entry.info())
    }

    /// Saves a kernel and takes it out of memory: its next cell wakes it, on whichever server.
    ///
    /// # Errors
    /// There is no such kernel, it runs a cell, or the object store does not answer.
    pub async fn hibernate_kernel(&self, user: UserId, id: KernelId) -> Result<KernelInfo, ServiceError> {
        if let Some(entry) = self.0.kernels.live(user, id) {
            self.0.kernels.hibernate(&entry).await?;
        }
        let (info, _) = self.0.database.kernel(user, id).await?;
        if !matches!(info.state, KernelState::Hibernated | KernelState::Dead) {
            self.0.database.ask_for_kernel(id, Asked::Release).await?;
        }
        Ok(info)
    }

    /// What can stand at a place in code: names that a kernel knows. It does not notice the question.
    ///
    /// # Errors
    /// There is no such kernel, it is dead, or the place is not in the code.
    pub async fn complete_in_kernel(&self, user: UserId, id: KernelId, at: At) -> Result<Completion, ServiceError> {
        self.0.kernels.complete(&*self.awake(user, id).await?, at).await
    }

    /// What is known of the name at a place in code. The kernel does not notice the question.
    ///
    /// # Errors
    /// There is no such kernel, it is dead, or the place is not in the code.
    pub async fn inspect_in_kernel(&self, user: UserId, id: KernelId, at: At) -> Result<Inspection, ServiceError> {
        self.0.kernels.inspect(&*self.awake(user, id).await?, at).await
    }

    /// The kernel in memory, and the right to change what it knows, after those that came before.
    async fn turn_in_kernel(&self, user: UserId, id: KernelId) -> Result<(Arc<Entry>, Turn), ServiceError> {
        loop {
            let entry = self.awake(user, id).await?;
            let turn = entry.take_turn().await?;
            // It may have been put to sleep meanwhile.
            if !entry.is_gone() {
                return Ok((entry, turn));
            }
        }
    }

    /// The kernel in memory: it is woken where it hibernates.
    async fn awake(&self, user: UserId, id: KernelId) -> Result<Arc<Entry>, ServiceError> {
        if let Some(entry) = self.0.kernels.live(user, id) {
            return Ok(entry);
        }
        let _turn = self.0.kernels.turns().take(id).await;
        if let Some(entry) = self.0.kernels.live(user, id) {
            return Ok(entry);
        }
        let taken = self.0.kernels.take(user, id).await?;
        self.0.kernels.tell_waking(id);
        match self.wake(&taken).await {
            Ok(entry) => {
                self.keep_few_kernels(user);
                let kernels = self.0.kernels.clone();
                tokio::spawn(async move { kernels.make_room().await });
                Ok(entry)
            }
            Err(error) => {
                self.0.kernels.give_back(&taken).await;
                Err(error)
            }
        }
    }

    async fn wake(&self, taken: &KernelTake) -> Result<Arc<Entry>, ServiceError> {
        let beginning = match taken.rest.packages.clone() {
            None => Beginning::default(),
            Some(packages) => {
                let base = self.base_with(taken.user, taken.info.environment_id, &packages).await?;
                Beginning { base: Some(base), packages: Some(Arc::new(packages)) }
            }
        };
        self.0.kernels.wake(taken, beginning).await
    }

    /// What a user's kernels run is cancelled, on every server, and they hibernate.
    pub(crate) async fn stop_kernels(&self, user: UserId) -> Result<(), ServiceError> {
        for number in 1.. {
            let Ok(request) = PageRequest::new(number, 100) else { break };
            let page = self.0.database.kernels(user, request).await?;
            for kernel in &page.items {
                if let Some(entry) = self.0.kernels.live(user, kernel.id) {
                    self.0.kernels.stop(&entry);
                } else if kernel.state != KernelState::Hibernated {
                    self.0.database.ask_for_kernel(kernel.id, Asked::Interrupt).await?;
                }
            }
            if !page.has_more() {
                break;
            }
        }
        Ok(())
    }

    /// Those of a user's kernels hibernate that are too many in memory; nobody waits for it.
    fn keep_few_kernels(&self, user: UserId) {
        let this = self.clone();
        tokio::spawn(async move {
            match this.0.database.grant(user, None).await {
                Ok(grant) => this.0.kernels.keep_few(user, grant.quotas.live_kernels).await,
                Err(error) => tracing::warn!(%error, "how many kernels may be in memory can't be read"),
            }
        });
    }

    /// What a kernel begins on today in an environment; nothing but the runtime where that is gone.
    async fn beginning_of(&self, user: UserId, environment: EnvironmentId) -> Result<Beginning, ServiceError> {
        match self.environment(user, environment).await {
            Ok(environment) => self.beginning_in(&environment).await,
            Err(ServiceError::NotFound { .. }) => {
                let message = "the kernel's environment is gone: make a kernel in another one".to_owned();
                Err(ServiceError::Conflict { message })
            }
            Err(error) => Err(error),
        }
    }

    async fn beginning_in(&self, environment: &Environment) -> Result<Beginning, ServiceError> {
        let Some(base) = self.enter(environment).await? else { return Ok(Beginning::default()) };
        let contents = self.0.database.environment_contents(environment.user_id, environment.id).await?;
        if contents.generation != environment.generation {
            return Err(ServiceError::Conflict {
                message: "the environment was changed at this moment; try again".to_owned(),
            });
        }
        let packages = KernelPackages {
            generation: contents.generation,
            python_version: environment.python_version.clone(),
            requested: names(&contents.requested),
            lock: contents.lock,
            warm_imports: environment.warm_imports.clone(),
        };
        Ok(Beginning { base: Some(base), packages: Some(Arc::new(packages)) })
    }

    /// What kernels begin on that began with these packages: the environment has them still, or had them.
    async fn base_with(
        &self,
        user: UserId,
        environment: Option<EnvironmentId>,
        packages: &KernelPackages,
    ) -> Result<EnvironmentBase, ServiceError> {
        if let Some(id) = environment
            && let Ok(environment) = self.environment(user, id).await
            && (environment.generation, &environment.warm_imports) == (packages.generation, &packages.warm_imports)
            && let Some(base) = self.base(&environment).await?
        {
            return Ok(base);
        }
        let Self(inner) = self;
        let sandbox = inner.service.sandbox()?;
        let mut lock = packages.lock.clone();
        let wheels = inner.installer.fetch(&mut lock, &|_| {}).await?;
        inner.installer.compile(sandbox, &wheels, &|_| {}).await?;
        let (imports, runtime) = ((&packages.requested[..], &packages.warm_imports[..]), inner.installer.runtime_key());
        let set = PackageSet::new(&user.to_string(), &lock, wheels, imports, runtime);
        Ok(sandbox.environment(set.spec()).await?)
    }
}
