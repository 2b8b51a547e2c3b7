//! Lists of documents: searched, filtered, sorted, in pages.

use sqlx::AssertSqlSafe;
use sqlx::any::AnyRow;

use super::look::{columns, read};
use super::search::{self, Wanted};
use super::words;
use crate::domain::{DocumentQuery, DocumentSort, DocumentSummary, Page, PageRequest, SortOrder, TagCount, UserId};
use crate::store::Database;
use crate::store::database::Dialect;
use crate::store::error::StoreError;
use crate::store::rows::{Columns as _, clean, number};

/// Tags that are listed: those of most documents.
const MAX_TAGS: i64 = 1000;
/// Of a search's text so many bytes are looked at.
const MAX_SEARCH_BYTES: usize = 4096;

/// A statement's conditions and order; the texts in its placeholders come after the user in `$1`.
struct Selection {
    condition: String,
    /// How many of the texts are the condition's.
    in_condition: usize,
    order: String,
    texts: Vec<String>,
}

impl Database {
    /// The user's documents that a query asks for, without their texts.
    ///
    /// # Errors
    /// The database's.
    pub async fn documents(
        &self,
        user: UserId,
        query: &DocumentQuery,
        request: PageRequest,
    ) -> Result<Page<DocumentSummary>, StoreError> {
        let Some(selection) = Selection::of(self.dialect(), query) else {
            return Ok(Page { items: Vec::new(), total: 0, request });
        };
        let Selection { condition, in_condition, order, texts } = &selection;
        // All that was put in are words of this file.
        let total = format!("SELECT COUNT(*) AS total FROM documents d WHERE {condition}");
        let mut total = sqlx::query(AssertSqlSafe(total)).bind(user.to_string());
        for text in &texts[..*in_condition] {
            total = total.bind(text.clone());
        }
        let total = total.fetch_one(self.pool()).await?.count("total")?;
        let (limit, offset) = (texts.len() + 2, texts.len() + 3);
        let rows = format!(
            "SELECT {} FROM documents d WHERE {condition} ORDER BY {order} LIMIT ${limit} OFFSET ${offset}",
            columns!()
        );
        let mut rows = sqlx::query(AssertSqlSafe(rows)).bind(user.to_string());
        for text in texts {
            rows = rows.bind(text.clone());
        }
        let rows = rows.bind(i64::from(request.page_size())).bind(number(request.offset()));
        let rows = rows.fetch_all(self.pool()).await?;
        Ok(Page { items: rows.iter().map(read).collect::<Result<_, _>>()?, total, request })
    }

    /// The tags of the user's documents, those of most documents first.
    ///
    /// # Errors
    /// The database's.
    pub async fn document_tags(&self, user: UserId) -> Result<Vec<TagCount>, StoreError> {
        let rows = sqlx::query(
            "SELECT t.tag AS tag, COUNT(*) AS documents
            FROM documents d JOIN document_tags t ON t.document_id = d.id
            WHERE d.user_id = $1 AND d.deleted_at IS NULL
            GROUP BY t.tag ORDER BY documents DESC, tag LIMIT $2",
        );
        let rows = rows.bind(user.to_string()).bind(MAX_TAGS).fetch_all(self.pool()).await?;
        let count = |row: &AnyRow| Ok(TagCount { tag: row.parsed("tag")?, documents: row.count("documents")? });
        let mut tags = rows.iter().map(count).collect::<Result<Vec<_>, StoreError>>()?;
        // Databases do not agree on the order of texts.
        tags.sort_by(|a, b| b.documents.cmp(&a.documents).then_with(|| a.tag.cmp(&b.tag)));
        Ok(tags)
    }
}

impl Selection {
    /// What selects the documents of a query; nothing where its text has no word, so that nothing can be found.
    fn of(dialect: Dialect, query: &DocumentQuery) -> Option<Self> {
        let deleted = if query.deleted { "d.deleted_at IS NOT NULL" } else { "d.deleted_at IS NULL" };
        let mut conditions = vec!["d.user_id = $1".to_owned(), deleted.to_owned()];
        let mut texts = Vec::new();
        let mut place = |text: String| {
            texts.push(text);
            texts.len() + 1
        };
        for tag in &query.tags {
            let at = place(tag.to_string());
            conditions
                .push(format!("EXISTS (SELECT 1 FROM document_tags t WHERE t.document_id = d.id AND t.tag = ${at})"));
        }
        let words = match query.search.as_deref().filter(|text| !text.is_empty()) {
            Some(text) => Some(words::searched(&clean(text, MAX_SEARCH_BYTES))).filter(|words| !words.is_empty())?,
            None => Vec::new(),
        };
        if !words.is_empty() {
            let at = place(search::query(dialect, &words, Wanted::All));
            conditions.push(search::condition(dialect, at));
        }
        let in_condition = query.tags.len() + usize::from(!words.is_empty());
        let mut order = String::new();
        if !words.is_empty() && query.sort_by.is_none() {
            let all = place(search::query(dialect, &words, Wanted::AllInTitle));
            let any = place(search::query(dialect, &words, Wanted::AnyInTitle));
            let (all, any) = (search::condition(dialect, all), search::condition(dialect, any));
            order = format!("CASE WHEN {all} THEN 0 WHEN {any} THEN 1 ELSE 2 END, ");
        }
        order.push_str(&sorting(dialect, query));
        Some(Self { condition: conditions.join(" AND "), in_condition, order, texts })
    }
}

fn sorting(dialect: Dialect, query: &DocumentQuery) -> String {
    let sort_by = query.sort_by.unwrap_or(DocumentSort::UpdatedAt);
    let usual = if sort_by == DocumentSort::Title { SortOrder::Asc } else { SortOrder::Desc };
    let direction = match query.sort_order.unwrap_or(usual) {
        SortOrder::Asc => "ASC",
        SortOrder::Desc => "DESC",
    };
    let column = match sort_by {
        // By its bytes: databases do not agree on the order of texts otherwise.
        DocumentSort::Title => dialect.pick("d.title_key", "d.title_key COLLATE \"C\""),
        DocumentSort::CreatedAt => "d.created_at",
        DocumentSort::UpdatedAt => "d.updated_at",
    };
    format!("{column} {direction}, d.id {direction}")
}
