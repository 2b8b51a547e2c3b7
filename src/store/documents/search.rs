//! The index of words: FTS5 in SQLite, a `tsvector` in PostgreSQL. Nothing but letters and digits gets into either, so
//! that no text of a user is ever read as a part of their query languages.

use super::words::Words;
use crate::domain::DocumentId;
use crate::store::database::Dialect;
use crate::store::error::StoreError;
use crate::store::transaction::Write;

/// Puts a document's words into the index, in place of those that were there.
pub(super) async fn index(write: &mut Write, id: DocumentId, words: &Words) -> Result<(), StoreError> {
    match write.dialect() {
        Dialect::Sqlite => {
            let row = sqlx::query(
                "INSERT INTO document_search_rows (document_id) VALUES ($1) ON CONFLICT (document_id) DO NOTHING",
            );
            row.bind(id.to_string()).execute(write.on()).await?;
            let insert = sqlx::query(
                "INSERT OR REPLACE INTO document_search (rowid, title, content)
                SELECT number, $2, $3 FROM document_search_rows WHERE document_id = $1",
            );
            let insert = insert.bind(id.to_string()).bind(words.title.join(" ")).bind(words.content.join(" "));
            insert.execute(write.on()).await?;
        }
        Dialect::Postgres => {
            let insert = sqlx::query(
                "INSERT INTO document_search (document_id, words) VALUES ($1, CAST($2 AS tsvector))
                ON CONFLICT (document_id) DO UPDATE SET words = excluded.words",
            );
            insert.bind(id.to_string()).bind(vector(words)).execute(write.on()).await?;
        }
    }
    Ok(())
}

/// A `tsvector` as text: words of the title have the weight A.
fn vector(words: &Words) -> String {
    let title = words.title.iter().map(|word| format!("'{word}':1A"));
    let content = words.content.iter().map(|word| format!("'{word}':1"));
    title.chain(content).collect::<Vec<_>>().join(" ")
}

/// Which documents a search finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All words, anywhere.
    All,
    /// All words, in the title.
    AllInTitle,
    /// One of the words at least, in the title.
    AnyInTitle,
}

/// The search in the database's language. The last word may be a word's beginning.
pub(super) fn query(dialect: Dialect, words: &[String], wanted: Wanted) -> String {
    let last = words.len().saturating_sub(1);
    let term = |(at, word): (usize, &String)| match (dialect, wanted) {
        (Dialect::Sqlite, _) => format!("\"{word}\"{}", if at == last { "*" } else { "" }),
        (Dialect::Postgres, Wanted::All) => format!("'{word}'{}", if at == last { ":*" } else { "" }),
        (Dialect::Postgres, _) => format!("'{word}':{}A", if at == last { "*" } else { "" }),
    };
    let terms: Vec<_> = words.iter().enumerate().map(term).collect();
    match (dialect, wanted) {
        (Dialect::Sqlite, Wanted::All) => terms.join(" AND "),
        (Dialect::Sqlite, Wanted::AllInTitle) => format!("title : ({})", terms.join(" AND ")),
        (Dialect::Sqlite, Wanted::AnyInTitle) => format!("title : ({})", terms.join(" OR ")),
        (Dialect::Postgres, Wanted::AnyInTitle) => terms.join(" | "),
        (Dialect::Postgres, _) => terms.join(" & "),
    }
}

/// A condition on the document `d`: it is among those that the query in this placeholder finds.
pub(super) fn condition(dialect: Dialect, placeholder: usize) -> String {
    match dialect {
        Dialect::Sqlite => format!(
            "d.id IN (SELECT r.document_id FROM document_search_rows r WHERE r.number IN
                (SELECT s.rowid FROM document_search s WHERE s.document_search MATCH ${placeholder}))"
        ),
        Dialect::Postgres => format!(
            "d.id IN (SELECT s.document_id FROM document_search s WHERE s.words @@ CAST(${placeholder} AS tsquery))"
        ),
    }
}
