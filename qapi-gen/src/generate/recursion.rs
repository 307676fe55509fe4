//! Types that hold themselves, directly or through others: where a box must break the circle.

use std::collections::HashSet;

/// The way in which a type holds another one in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Via {
    /// As a branch of an alternate.
    Alternate,
    /// As a member.
    Member,
    /// As a branch of a union.
    Union,
}

/// What a node holds.
pub type Edge = (usize, Via);

/// The edges to be boxed: of every circle those through alternates; if it has none, those through members; if it has
/// none of these either, all. A rule that depends on nothing but the circle keeps unrelated changes of the schema from
/// changing a type.
pub fn boxed(edges: &[Vec<Edge>]) -> HashSet<(usize, Edge)> {
    let mut boxed = HashSet::new();
    for via in [Via::Alternate, Via::Member, Via::Union] {
        let left = |(node, held): (usize, &Vec<Edge>)| {
            let left = held.iter().filter(|&&edge| !boxed.contains(&(node, edge)));
            left.map(|&(target, _)| target).collect()
        };
        let left: Vec<Vec<usize>> = edges.iter().enumerate().map(left).collect();
        let components = components(&left);
        for (node, held) in edges.iter().enumerate() {
            let circular = held.iter().filter(|&&(target, by)| by == via && components[node] == components[target]);
            boxed.extend(circular.map(|&edge| (node, edge)));
        }
    }
    boxed
}

/// For each node the number of its strongly connected component. (Tarjan's algorithm, with an explicit stack, since a
/// schema may be as deep as it is long.)
fn components(edges: &[Vec<usize>]) -> Vec<usize> {
    let mut search = Search {
        edges,
        order: vec![None; edges.len()],
        lowest: vec![0; edges.len()],
        component: vec![None; edges.len()],
        open: Vec::new(),
        visited: 0,
    };
    for node in 0..edges.len() {
        search.visit(node);
    }
    let component = search.component.into_iter().enumerate();
    component.map(|(node, component)| component.unwrap_or(node)).collect()
}

struct Search<'a> {
    edges: &'a [Vec<usize>],
    /// When each node was visited.
    order: Vec<Option<usize>>,
    /// The earliest node that is known to be reachable.
    lowest: Vec<usize>,
    component: Vec<Option<usize>>,
    /// Visited nodes whose component is not known yet.
    open: Vec<usize>,
    visited: usize,
}

impl Search<'_> {
    fn visit(&mut self, root: usize) {
        let mut path: Vec<(usize, usize)> = Vec::new();
        self.enter(root, &mut path);
        while let Some((node, next)) = path.last_mut() {
            let (node, edge) = (*node, *next);
            *next += 1;
            if let Some(&target) = self.edges[node].get(edge) {
                match self.order[target] {
                    None => self.enter(target, &mut path),
                    Some(order) if self.component[target].is_none() => {
                        self.lowest[node] = self.lowest[node].min(order);
                    }
                    Some(_) => {}
                }
                continue;
            }
            path.pop();
            if let Some(&(parent, _)) = path.last() {
                self.lowest[parent] = self.lowest[parent].min(self.lowest[node]);
            }
            if self.order[node] == Some(self.lowest[node]) {
                while let Some(member) = self.open.pop() {
                    self.component[member] = Some(node);
                    if member == node {
                        break;
                    }
                }
            }
        }
    }

    fn enter(&mut self, node: usize, path: &mut Vec<(usize, usize)>) {
        if self.order[node].is_none() {
            self.order[node] = Some(self.visited);
            self.lowest[node] = self.visited;
            self.visited += 1;
            self.open.push(node);
            path.push((node, 0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_on_a_cycle_share_a_component() {
        // 0 -> 1 -> 2 -> 1, 2 -> 3, 4 -> 4
        let components = components(&[vec![1], vec![2], vec![1, 3], vec![], vec![4]]);
        assert_eq!(components[1], components[2]);
        let mut distinct = vec![components[0], components[1], components[3], components[4]];
        distinct.dedup();
        assert_eq!(distinct.len(), 4);
    }

    #[test]
    fn a_circle_is_broken_at_its_alternate_first() {
        // An alternate 0 of a union 1 with a branch 2 that has a member 0, and a struct 3 that holds itself.
        let edges = [vec![(1, Via::Alternate)], vec![(2, Via::Union)], vec![(0, Via::Member)], vec![(3, Via::Member)]];
        let boxed = boxed(&edges);
        assert_eq!(boxed, HashSet::from([(0, (1, Via::Alternate)), (3, (3, Via::Member))]));
    }

    #[test]
    fn a_long_chain_needs_no_deep_stack() {
        let edges: Vec<_> = (0..200_000).map(|node| vec![node + 1]).chain([vec![]]).collect();
        assert_eq!(components(&edges).len(), 200_001);
    }
}
