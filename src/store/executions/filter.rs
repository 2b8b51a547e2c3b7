//! Which executions: a filter as a condition.

use super::Statement;
use crate::domain::{ExecutionFilter, UserId};
use crate::store::rows::micros;

enum Value {
    Text(String),
    Number(i64),
}

/// A condition and what goes into its placeholders. The first one is the user.
pub(super) struct Condition {
    /// The condition in SQL.
    pub sql: String,
    values: Vec<Value>,
}

impl Condition {
    /// The user's executions that the filter lets through.
    pub fn of(user: UserId, filter: &ExecutionFilter) -> Self {
        let ExecutionFilter { environment_id, document_id, kernel_id, kind, outcome, since, until } = filter;
        let text = |value: Option<String>| value.map(Value::Text);
        let conditions = [
            ("user_id =", Some(Value::Text(user.to_string()))),
            ("environment_id =", text(environment_id.map(|id| id.to_string()))),
            ("document_id =", text(document_id.map(|id| id.to_string()))),
            ("kernel_id =", text(kernel_id.map(|id| id.to_string()))),
            ("kind =", text(kind.map(|kind| kind.to_string()))),
            ("outcome =", text(outcome.map(|outcome| outcome.to_string()))),
            ("started_at >=", since.map(|since| Value::Number(micros(since)))),
            ("started_at <", until.map(|until| Value::Number(micros(until)))),
        ];
        let mut this = Self { sql: String::new(), values: Vec::new() };
        for (condition, value) in conditions {
            let Some(value) = value else { continue };
            let and = if this.values.is_empty() { "" } else { " AND " };
            this.sql.push_str(&format!("{and}{condition} ${}", this.next()));
            this.values.push(value);
        }
        this
    }

    /// The number of the first placeholder that is free.
    pub fn next(&self) -> usize {
        self.values.len() + 1
    }

    /// Puts the values in.
    pub fn bind<'a>(&self, statement: Statement<'a>) -> Statement<'a> {
        self.values.iter().fold(statement, |statement, value| match value {
            Value::Text(text) => statement.bind(text.clone()),
            Value::Number(number) => statement.bind(*number),
        })
    }
}
