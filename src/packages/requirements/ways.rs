//! How much a marker can cost.
//!
//! The PEP 508 parser makes a decision diagram of a marker. A chain of comparisons with one operator between them makes a
//! chain of nodes; two diagrams joined make one with at most the product of their nodes, and of the ways through them.

/// The operator between the parts of an expression.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Operator {
    And,
    Or,
}

/// What an expression costs: a chain of comparisons, times what else is joined to it.
struct Cost {
    operator: Option<Operator>,
    comparisons: u64,
    factor: u64,
}

impl Cost {
    const COMPARISON: Self = Self { operator: None, comparisons: 1, factor: 1 };

    fn ways(&self) -> u64 {
        self.comparisons.saturating_add(1).saturating_mul(self.factor)
    }

    fn join(&mut self, operator: Operator, other: &Self) {
        if self.operator.is_some_and(|own| own != operator) {
            *self = Self { operator: None, comparisons: 0, factor: self.ways() };
        }
        self.operator = Some(operator);
        let is_chain = other.operator.is_none_or(|others| others == operator);
        let (comparisons, factor) = if is_chain { (other.comparisons, other.factor) } else { (0, other.ways()) };
        self.comparisons = self.comparisons.saturating_add(comparisons);
        self.factor = self.factor.saturating_mul(factor);
    }
}

/// The most ways there can be through a marker, given without its strings. Nothing if its parentheses are too deep.
pub(super) fn ways(marker: &str, max_depth: usize) -> Option<u64> {
    let spaced = marker.replace('(', " ( ").replace(')', " ) ");
    any_of(&mut spaced.split_whitespace(), max_depth).map(|cost| cost.ways())
}

/// Up to the closing parenthesis, or the end.
fn any_of<'a>(words: &mut impl Iterator<Item = &'a str>, depth: usize) -> Option<Cost> {
    let depth = depth.checked_sub(1)?;
    let mut whole: Option<Cost> = None;
    // What `and` joins, until the next `or`.
    let mut all: Option<Cost> = None;
    let mut begins = true;
    loop {
        match words.next() {
            Some("(") => {
                join(&mut all, Operator::And, any_of(&mut *words, depth)?);
                begins = false;
            }
            Some("and") => begins = true,
            Some("or") => {
                join(&mut whole, Operator::Or, all.take().unwrap_or(Cost::COMPARISON));
                begins = true;
            }
            None | Some(")") => {
                join(&mut whole, Operator::Or, all.unwrap_or(Cost::COMPARISON));
                return whole;
            }
            Some(_) if begins => {
                join(&mut all, Operator::And, Cost::COMPARISON);
                begins = false;
            }
            // Further words of the same comparison.
            Some(_) => {}
        }
    }
}

fn join(whole: &mut Option<Cost>, operator: Operator, part: Cost) {
    match whole {
        Some(whole) => whole.join(operator, &part),
        None => *whole = Some(part),
    }
}
