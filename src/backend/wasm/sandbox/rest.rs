//! Bringing kernels' states to rest, and waking them on the ground that they began on.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::base::Base;
use super::{EnvironmentBase, Sandbox, SandboxError, StartPoint};
use crate::backend::wasm::Checkpoint;
use crate::backend::wasm::kernel::with_shown;
use crate::backend::wasm::memory::Image;
use crate::backend::wasm::rest::{self, AtRest, Digest, Ground, WakeError};
use crate::backend::wasm::vfs::Fs;
use crate::domain::Limits;

/// Images that came from elsewhere, as long as somebody uses them.
#[derive(Default)]
pub(super) struct Foreign(Mutex<Vec<(Digest, Weak<Image>)>>);

impl Foreign {
    fn find(&self, digest: Digest) -> Option<Arc<Image>> {
        let mut images = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        images.retain(|(_, image)| image.strong_count() > 0);
        images.iter().find(|(known, _)| *known == digest).and_then(|(_, image)| image.upgrade())
    }

    /// Two at once bring the same image: the first stays.
    fn keep(&self, digest: Digest, image: Image) -> Arc<Image> {
        if let Some(known) = self.find(digest) {
            return known;
        }
        let image = Arc::new(image);
        let mut images = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        images.push((digest, Arc::downgrade(&image)));
        image
    }
}

impl Checkpoint {
    /// Stands for the image that the kernel began in. The first one to ask about an image waits for all of it to be read.
    pub fn image_digest(&self) -> Digest {
        Digest::from(self.state().image.root().digest())
    }

    /// Whether both began in one image, in one place of memory: else neither can be kept, or woken, as what comes after
    /// the other.
    pub fn began_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(self.state().image.root(), other.state().image.root())
    }

    /// Whether it was woken on this ground.
    pub fn lies_on(&self, ground: &Ground) -> bool {
        Arc::ptr_eq(&self.state().image, &ground.image)
    }

    /// The image that the kernel began in, at rest. Blocks.
    ///
    /// # Errors
    /// The system refused memory.
    pub fn image_at_rest(&self) -> Result<AtRest, SandboxError> {
        Ok(rest::save_image(self.state().image.root())?)
    }

    /// Brings states of one kernel to rest, as what comes after `before`: what they share is there once. Blocks, in
    /// proportion to what they hold.
    ///
    /// # Errors
    /// They are of different kernels, or the system refused memory.
    pub fn at_rest(states: &[Self], before: Option<&Self>) -> Result<AtRest, SandboxError> {
        Ok(rest::save(states, before, rest::LEVEL)?)
    }

    /// This state by itself, at rest, for who waits for it: quicker than [`Checkpoint::at_rest`], and larger. Blocks.
    ///
    /// # Errors
    /// The system refused memory.
    pub fn alone_at_rest(&self) -> Result<AtRest, SandboxError> {
        Ok(rest::save(std::slice::from_ref(self), None, rest::QUICK_LEVEL)?)
    }

    /// Wakes the states that were brought to rest after `before`. Blocks.
    ///
    /// # Errors
    /// The bytes are not what was written, or the states began elsewhere.
    pub fn wake(bytes: &[u8], digest: Digest, ground: &Ground, before: Option<&Self>) -> Result<Vec<Self>, WakeError> {
        let states = rest::wake(bytes, digest, ground, before, |_| true)?;
        Ok(states.into_iter().flatten().collect())
    }

    /// The same, of those alone that are wanted, by their number; nothing stands in place of the others. Of many states it
    /// takes a fraction of the time to have one.
    ///
    /// # Errors
    /// As [`Checkpoint::wake`].
    pub fn wake_some(
        bytes: &[u8],
        digest: Digest,
        ground: &Ground,
        before: Option<&Self>,
        is_wanted: impl Fn(usize) -> bool,
    ) -> Result<Vec<Option<Self>>, WakeError> {
        rest::wake(bytes, digest, ground, before, is_wanted)
    }
}

impl Ground {
    /// Stands for the image. The first one to ask about an image waits for all of it to be read.
    pub fn image_digest(&self) -> Digest {
        Digest::from(self.image.digest())
    }

    /// The same with files shown in the working directory: see [`Kernel::show_files`](crate::backend::wasm::Kernel).
    ///
    /// # Errors
    /// [`SandboxError::File`] for a path that leaves the directory, or when something is there already.
    pub fn with_shown(self, files: &[(String, Arc<[u8]>)]) -> Result<Self, SandboxError> {
        Ok(Self { fs: with_shown(self.fs, files)?, ..self })
    }
}

impl Sandbox {
    /// What states lie over that may go on from where code starts here, as [`StartPoint::names`] names them; none where
    /// it is not at hand.
    pub fn grounds(&self, start: &StartPoint<'_>, limits: &Limits) -> Vec<Option<Ground>> {
        let of = |base: &Base| Ground { image: Arc::clone(base.image()), fs: base.checkpoint.state().fs.clone() };
        let warm = self.0.made_warm().map(of);
        match start {
            StartPoint::Boot => vec![Some(of(&self.0.boot)), warm],
            StartPoint::Warm(_) => vec![warm],
            StartPoint::Environment(environment) if environment.fits(limits) => vec![Some(of(&environment.get().base))],
            StartPoint::Environment(environment) => {
                let image = Arc::clone(self.0.boot.image());
                vec![Some(Ground { image, fs: environment.cold_files().clone() })]
            }
        }
    }

    /// Where kernels begin that began in the image of that digest, in an environment or without one; none where the image
    /// is another today, or on this machine.
    pub async fn ground(&self, environment: Option<&EnvironmentBase>, digest: Digest) -> Option<Ground> {
        let fs = self.ground_files(environment);
        let is_it = |image: &Arc<Image>| Digest::from(image.digest()) == digest;
        let own = environment.map(|environment| environment.get().base.image());
        if let Some(image) = own.into_iter().chain([self.0.boot.image()]).find(|image| is_it(image)) {
            return Some(Ground { image: Arc::clone(image), fs });
        }
        if let Some(image) = self.0.foreign.find(digest) {
            return Some(Ground { image, fs });
        }
        // The last: it may have to be read, or made.
        let warm = self.warm().await?.image();
        is_it(warm).then(|| Ground { image: Arc::clone(warm), fs })
    }

    /// The same for an image that was brought to rest. Blocks.
    ///
    /// # Errors
    /// The bytes are no image, or another one.
    pub fn ground_of(
        &self,
        environment: Option<&EnvironmentBase>,
        bytes: &[u8],
        digest: Digest,
    ) -> Result<Ground, WakeError> {
        let image = rest::wake_image(bytes, digest)?;
        Ok(Ground { image: self.0.foreign.keep(digest, image), fs: self.ground_files(environment) })
    }

    fn ground_files(&self, environment: Option<&EnvironmentBase>) -> Fs {
        let files = environment.map_or(&self.0.boot.checkpoint, |environment| &environment.get().base.checkpoint);
        files.state().fs.clone()
    }
}
