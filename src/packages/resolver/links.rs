//! Who needs whom, by name.

use std::collections::{HashMap, HashSet, VecDeque};

use pep508_rs::PackageName;

/// A package and who needs it.
#[derive(Debug)]
struct Link {
    from: From,
    to: PackageName,
}

#[derive(Debug)]
enum From {
    /// It was asked for, at this place in the request.
    Root(usize),
    Package(PackageName),
}

/// Who needs whom.
#[derive(Debug, Default)]
pub(super) struct Links {
    links: Vec<Link>,
}

impl Links {
    pub fn add_root(&mut self, root: usize, to: &PackageName) {
        self.links.push(Link { from: From::Root(root), to: to.clone() });
    }

    pub fn add(&mut self, from: &PackageName, to: &PackageName) {
        self.links.push(Link { from: From::Package(from.clone()), to: to.clone() });
    }

    fn into(&self, package: &PackageName) -> impl Iterator<Item = &From> {
        self.links.iter().filter(move |link| link.to == *package).map(|link| &link.from)
    }

    /// Who needs the package, who needs that one, and so on up to what was asked for: a shortest way.
    pub fn way_to(&self, package: &PackageName) -> Vec<PackageName> {
        let mut towards: HashMap<&PackageName, &PackageName> = HashMap::new();
        let mut queue = VecDeque::from([package]);
        let mut seen = HashSet::from([package]);
        while let Some(at) = queue.pop_front() {
            for from in self.into(at) {
                match from {
                    From::Root(_) => {
                        let mut way: Vec<PackageName> =
                            std::iter::successors(Some(at), |step| towards.get(*step).copied()).cloned().collect();
                        // The package itself is at the end.
                        way.pop();
                        way.reverse();
                        return way;
                    }
                    From::Package(from) => {
                        if seen.insert(from) {
                            towards.insert(from, at);
                            queue.push_back(from);
                        }
                    }
                }
            }
        }
        Vec::new()
    }

    /// The roots that need the package, directly or not.
    pub fn roots_of(&self, package: &PackageName) -> Vec<usize> {
        let mut roots = Vec::new();
        let mut queue = vec![package];
        let mut seen = HashSet::from([package]);
        while let Some(at) = queue.pop() {
            for from in self.into(at) {
                match from {
                    From::Root(root) => roots.push(*root),
                    From::Package(from) => queue.extend(seen.insert(from).then_some(from)),
                }
            }
        }
        roots.sort_unstable();
        roots.dedup();
        roots
    }
}
