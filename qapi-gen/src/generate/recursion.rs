//! Types that hold themselves, directly or through others: the strongly connected components of "holds in place".

/// For each node the number of its component, or a number of its own if it lies on no cycle. (Tarjan's algorithm, with
/// an explicit stack, since a schema may be as deep as it is long.)
pub fn components(edges: &[Vec<usize>]) -> Vec<usize> {
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
    fn a_long_chain_needs_no_deep_stack() {
        let edges: Vec<_> = (0..200_000).map(|node| vec![node + 1]).chain([vec![]]).collect();
        assert_eq!(components(&edges).len(), 200_001);
    }
}
