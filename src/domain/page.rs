//! Lists come in pages.

/// Which part of a list is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageRequest {
    page: u32,
    page_size: u32,
}

/// Text of a list that cannot be: page 0, or a page of too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("`page` must be at least 1 and `page_size` between 1 and {max}", max = PageRequest::MAX_SIZE)]
pub struct BadPage;

impl Default for PageRequest {
    fn default() -> Self {
        Self { page: 1, page_size: Self::DEFAULT_SIZE }
    }
}

impl PageRequest {
    /// Items of a page when nobody says how many.
    pub const DEFAULT_SIZE: u32 = 20;
    /// A page has no more items.
    pub const MAX_SIZE: u32 = 100;

    /// Page `page`, counted from 1, of `page_size` items each.
    ///
    /// # Errors
    /// There is no such page.
    pub fn new(page: u32, page_size: u32) -> Result<Self, BadPage> {
        let fits = page >= 1 && (1..=Self::MAX_SIZE).contains(&page_size);
        if fits { Ok(Self { page, page_size }) } else { Err(BadPage) }
    }

    /// The page, counted from 1.
    pub fn page(self) -> u32 {
        self.page
    }

    /// Items of a page.
    pub fn page_size(self) -> u32 {
        self.page_size
    }

    /// Items before the page.
    pub fn offset(self) -> u64 {
        u64::from(self.page - 1) * u64::from(self.page_size)
    }
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The items of the page.
    pub items: Vec<T>,
    /// Items of the whole list.
    pub total: u64,
    /// Which page this is.
    pub request: PageRequest,
}

impl<T> Page<T> {
    /// Whether more items follow.
    pub fn has_more(&self) -> bool {
        self.request.offset() + u64::from(self.request.page_size) < self.total
    }
}
