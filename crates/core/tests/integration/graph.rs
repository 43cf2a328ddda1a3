//! The laws of plan graphs, on random graphs and against a naive reference.

use ark_os_core::plan::graph::{
    EdgeList, Edges, ancestors, critical_path_len, cycles, descendants, sinks, topological_order,
};
use proptest::prelude::*;

fn graph(nodes: usize, edges: &[(u32, u32)]) -> EdgeList {
    let mut graph = EdgeList::new(nodes);
    for (node, needed) in edges {
        graph.add(*node, *needed);
    }
    graph
}

fn places(order: &[u32]) -> Vec<usize> {
    let mut places = vec![usize::MAX; order.len()];
    for (place, node) in order.iter().enumerate() {
        places[*node as usize] = place;
    }
    places
}

/// Up to 40 nodes; every edge leads to a smaller one under a random renaming, so there is no
/// cycle. The names tell the true order from the order of numbers.
fn dag() -> impl Strategy<Value = (usize, Vec<(u32, u32)>)> {
    (1usize..40).prop_flat_map(|nodes| {
        let names = Just((0..nodes as u32).collect::<Vec<_>>()).prop_shuffle();
        let edges = prop::collection::vec((0..nodes, 0..nodes), 0..120);
        (names, edges).prop_map(move |(names, edges)| {
            let edges = edges.into_iter().filter(|(a, b)| a != b);
            let edges = edges.map(|(a, b)| (names[a.max(b)], names[a.min(b)]));
            (nodes, edges.collect())
        })
    })
}

fn any_graph() -> impl Strategy<Value = (usize, Vec<(u32, u32)>)> {
    (1usize..12).prop_flat_map(|nodes| {
        let node = 0..nodes as u32;
        (Just(nodes), prop::collection::vec((node.clone(), node), 0..24))
    })
}

/// Which nodes can reach which, by squaring the relation until nothing is new.
fn closure(nodes: usize, edges: &[(u32, u32)]) -> Vec<Vec<bool>> {
    let mut reach = vec![vec![false; nodes]; nodes];
    for (from, to) in edges {
        reach[*from as usize][*to as usize] = true;
    }
    for middle in 0..nodes {
        for from in 0..nodes {
            for to in 0..nodes {
                reach[from][to] |= reach[from][middle] && reach[middle][to];
            }
        }
    }
    reach
}

proptest! {
    #[test]
    fn order_puts_every_node_after_what_it_needs((nodes, edges) in dag()) {
        let graph = graph(nodes, &edges);
        let order = topological_order(&graph).expect("a graph without cycles");
        prop_assert_eq!(order.len(), nodes);
        let places = places(&order);
        for (node, needed) in &edges {
            prop_assert!(places[*needed as usize] < places[*node as usize]);
        }
        prop_assert!(cycles(&graph).is_empty());
    }

    #[test]
    fn a_back_edge_is_always_found((nodes, edges) in dag(), pick in any::<prop::sample::Index>()) {
        let mut graph = graph(nodes, &edges);
        let node = pick.index(nodes) as u32;
        let Some(above) = ancestors(&graph, node).first().copied() else { return Ok(()) };
        graph.add(above, node);
        prop_assert_eq!(topological_order(&graph), None);
        let found = cycles(&graph);
        prop_assert!(!found.is_empty());
        prop_assert_eq!(critical_path_len(&graph), None);
    }

    #[test]
    fn cycles_are_those_of_the_naive_reference((nodes, edges) in any_graph()) {
        let graph = graph(nodes, &edges);
        let reach = closure(nodes, &edges);
        let cyclic: Vec<usize> = (0..nodes).filter(|n| reach[*n][*n]).collect();
        let found = cycles(&graph);
        prop_assert_eq!(found.is_empty(), cyclic.is_empty());
        prop_assert_eq!(topological_order(&graph).is_some(), cyclic.is_empty());
        // Every knot has one of its cycles in the answer, and no node is in two of them.
        for node in &cyclic {
            let knot = |other: &u32| reach[*node][*other as usize] && reach[*other as usize][*node];
            prop_assert!(found.iter().any(|cycle| cycle.iter().all(knot)));
        }
        let mut named: Vec<u32> = found.iter().flatten().copied().collect();
        named.sort_unstable();
        let total = named.len();
        named.dedup();
        prop_assert_eq!(total, named.len());
        // Each is really a closed path along `needs`, from its smallest node.
        for cycle in &found {
            prop_assert_eq!(cycle.iter().min(), cycle.first());
            for (i, node) in cycle.iter().enumerate() {
                let next = cycle[(i + 1) % cycle.len()];
                prop_assert!(graph.needs(*node).contains(&next));
            }
        }
    }

    #[test]
    fn relations_are_those_of_the_naive_reference((nodes, edges) in any_graph()) {
        let graph = graph(nodes, &edges);
        let reach = closure(nodes, &edges);
        for (node, below) in reach.iter().enumerate() {
            let others = || (0..nodes).filter(move |other| *other != node);
            let up: Vec<u32> = others().filter(|o| below[*o]).map(|o| o as u32).collect();
            let down: Vec<u32> = others().filter(|o| reach[*o][node]).map(|o| o as u32).collect();
            prop_assert_eq!(ancestors(&graph, node as u32), up);
            prop_assert_eq!(descendants(&graph, node as u32), down);
        }
        let ends: Vec<u32> = (0..nodes as u32)
            .filter(|node| !edges.iter().any(|(_, needed)| needed == node))
            .collect();
        prop_assert_eq!(sinks(&graph), ends);
    }

    #[test]
    fn the_longest_chain_is_one_more_than_that_below((nodes, edges) in dag()) {
        let graph = graph(nodes, &edges);
        // Longest paths by relaxing every edge as often as there are nodes.
        let mut longest = vec![1usize; nodes];
        for _ in 0..nodes {
            for (node, needed) in &edges {
                let through = longest[*needed as usize] + 1;
                let slot = &mut longest[*node as usize];
                *slot = through.max(*slot);
            }
        }
        prop_assert_eq!(critical_path_len(&graph), longest.into_iter().max());
    }
}

#[test]
fn smaller_nodes_come_first_where_there_is_a_choice() {
    let graph = graph(5, &[(0, 3), (4, 0)]);
    assert_eq!(topological_order(&graph), Some(vec![1, 2, 3, 0, 4]));
}

#[test]
fn very_long_chains_do_not_exhaust_the_stack() {
    const NODES: u32 = 200_000;
    let mut chain = EdgeList::new(NODES as usize);
    for node in 1..NODES {
        chain.add(node, node - 1);
    }
    assert_eq!(critical_path_len(&chain), Some(NODES as usize));
    assert_eq!(descendants(&chain, 0).len(), NODES as usize - 1);
    assert!(cycles(&chain).is_empty());
    chain.add(0, NODES - 1);
    let found = cycles(&chain);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].len(), NODES as usize);
}

#[test]
fn edges_to_nowhere_and_double_edges_are_not_added() {
    let mut graph = EdgeList::new(2);
    assert!(graph.add(1, 0));
    assert!(!graph.add(1, 0));
    assert!(!graph.add(1, 2));
    assert!(!graph.add(2, 1));
    assert_eq!(graph.edges(), 1);
    assert!(EdgeList::new(0).is_empty());
    assert_eq!(topological_order(&EdgeList::new(0)), Some(Vec::new()));
}
