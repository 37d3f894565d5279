//! Tests of points of accumulation, on graphs of a few objects.

use super::*;
use crate::graph::ways::tests::nodes;

/// Objects are of one map by their hundreds; what 100 holds has names, or nothing's contents have.
const NAMELESS: Kinds<'_> = Kinds {
    map_of: &|address| address / 100,
    names: &|_| false,
    keys: &|_| false,
    part: &|_| false,
};
const NAMED: Kinds<'_> = Kinds {
    map_of: &|address| address / 100,
    names: &|address| address == 100,
    keys: &|_| false,
    part: &|_| false,
};
const KEYED: Kinds<'_> = Kinds {
    map_of: &|address| address / 100,
    names: &|address| address == 100,
    keys: &|address| address == 100,
    part: &|address| address == 150,
};

/// `(object, owners)`; owner 0 makes it a root.
fn ancestors(graph: &[(u64, &[u64])]) -> Ancestors {
    let mut ancestors = Ancestors::default();
    ancestors.nodes = nodes(graph);
    ancestors
}

/// Objects are of one map by their hundreds.
#[track_caller]
fn check(graph: &[(u64, &[u64])], samples: &[u64], expected: &[(u64, u64)]) {
    let samples: Vec<(u64, u64)> = samples.iter().map(|&address| (address, 1)).collect();
    let found: Vec<(u64, u64)> = points(&ancestors(graph), &samples, &NAMELESS)
        .into_iter()
        .map(|point| (point.objects[0], point.weight))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn contents_of_one_array() {
    let graph: [(u64, &[u64]); 8] = [
        (100, &[0]),
        (200, &[100]),
        (300, &[200]),
        (301, &[200]),
        (302, &[200]),
        (303, &[200]),
        (304, &[200]),
        (305, &[200]),
    ];
    check(&graph, &[300, 301, 302, 303, 304, 305], &[(200, 6)]);
}

#[test]
fn two_collections_of_one_object_are_two_points() {
    let mut graph: Vec<(u64, &[u64])> = vec![(100, &[0]), (200, &[100]), (201, &[100])];
    graph.extend((300..306).map(|n| (n, &[200][..])));
    graph.extend((400..408).map(|n| (n, &[201][..])));
    let samples: Vec<u64> = (300..306).chain(400..408).collect();
    check(&graph, &samples, &[(201, 8), (200, 6)]);
}

#[test]
fn what_two_collections_share_hangs_at_neither() {
    let mut graph: Vec<(u64, &[u64])> = vec![(100, &[0]), (200, &[100]), (210, &[0]), (220, &[210])];
    graph.extend((300..308).map(|n| (n, &[200, 220][..])));
    let samples: Vec<u64> = (300..308).collect();
    let found = points(
        &ancestors(&graph),
        &samples.iter().map(|&n| (n, 1)).collect::<Vec<_>>(),
        &NAMELESS,
    );
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].objects, samples, "held alike, by nothing in common");
}

#[test]
fn what_two_properties_share_is_told_by_the_name_of_neither() {
    // 100 has two lists by name, 200 and 201; 200 has two more of its own.
    let mut graph: Vec<(u64, &[u64])> = vec![(100, &[0]), (200, &[100]), (201, &[100])];
    graph.extend([(500, &[200][..]), (501, &[200][..])]);
    graph.extend((300..308).map(|n| (n, &[200, 201][..])));
    let samples: Vec<(u64, u64)> = (300..308).chain(500..502).map(|n| (n, 1)).collect();
    let found = |kinds: &Kinds<'_>| {
        let points = points(&ancestors(&graph), &samples, kinds);
        assert_eq!(points.len(), 1);
        (points[0].objects.clone(), points[0].leads)
    };
    assert_eq!(found(&NAMED), (vec![100], false));
    assert_eq!(found(&NAMELESS), (vec![100], true), "elements of a collection");
}

#[test]
fn a_chain_hangs_at_what_holds_its_first_link() {
    // 100 holds closure 200, which holds scope 300, which holds closure 201 ...
    let owners: Vec<[u64; 1]> = (0..40).map(|n| if n == 0 { [100] } else { [299 + n] }).collect();
    let scopes: Vec<[u64; 1]> = (0..40).map(|n| [200 + n]).collect();
    let mut graph: Vec<(u64, &[u64])> = vec![(100, &[0])];
    for n in 0..40 {
        graph.push((200 + n, &owners[n as usize]));
        graph.push((300 + n, &scopes[n as usize]));
    }
    let rules: Vec<[u64; 1]> = (0..40).map(|n| [300 + n]).collect();
    for n in 0..40 {
        graph.push((400 + n, &rules[n as usize]));
    }
    let samples: Vec<u64> = (400..440).collect();
    check(&graph, &samples, &[(100, 40)]);
}

#[test]
fn variables_of_a_scope_are_a_point_each_however_many_are_alike() {
    let arrays: Vec<u64> = (200..206).collect();
    let owners: Vec<[u64; 1]> = arrays.iter().map(|&array| [array]).collect();
    let mut graph: Vec<(u64, &[u64])> = vec![(100, &[0])];
    graph.extend(arrays.iter().map(|&array| (array, &[100][..])));
    graph.extend((0..36).map(|n| (300 + n as u64, &owners[n % 6][..])));
    let samples: Vec<(u64, u64)> = (300..336).map(|n| (n, 1)).collect();
    assert_eq!(points(&ancestors(&graph), &samples, &NAMED).len(), 6);
    let found = points(&ancestors(&graph), &samples, &NAMELESS);
    assert_eq!(found.len(), 1, "six elements of an array are its contents");
}

#[test]
fn a_tree_whose_nodes_name_their_children_is_one_point() {
    // Four subtrees of one root, all nodes of one map.
    let owners: Vec<[u64; 1]> = (0..4).map(|n| [101 + n]).collect();
    let mut graph: Vec<(u64, &[u64])> = vec![(100, &[0])];
    graph.extend((0..4).map(|n| (101 + n, &[100][..])));
    graph.extend((0..24).map(|n| (300 + n as u64, &owners[n % 4][..])));
    let samples: Vec<(u64, u64)> = (300..324).map(|n| (n, 1)).collect();
    assert_eq!(points(&ancestors(&graph), &samples, &NAMED).len(), 1);
}

#[test]
fn lists_under_a_key_each_are_told_together_unless_one_has_much() {
    // Twelve lists of six, as properties of one object or as variables of one scope; one more as long as five of them.
    let lists: Vec<u64> = (200..212).collect();
    let owners: Vec<[u64; 1]> = lists.iter().map(|&list| [list]).collect();
    let mut graph: Vec<(u64, &[u64])> = vec![(100, &[0])];
    graph.extend(lists.iter().map(|&list| (list, &[100][..])));
    graph.extend((0..72).map(|n| (300 + n as u64, &owners[n % 12][..])));
    let of = |graph: &[(u64, &[u64])], last: u64, kinds: &Kinds<'_>| {
        let samples: Vec<(u64, u64)> = (300..last).map(|n| (n, 1)).collect();
        let points = points(&ancestors(graph), &samples, kinds);
        points
            .iter()
            .map(|point| (point.objects[0], point.weight))
            .collect::<Vec<_>>()
    };
    assert_eq!(of(&graph, 372, &KEYED), [(100, 72)]);
    assert_eq!(of(&graph, 372, &NAMED).len(), 12);
    // Some of the properties have no room inside of the object.
    graph.push((150, &[100]));
    (4..9).for_each(|n| graph[n].1 = &[150]);
    assert_eq!(of(&graph, 372, &KEYED), [(100, 72)]);
    graph.push((220, &[100]));
    graph.extend((372..398).map(|n| (n, &[220][..])));
    assert_eq!(of(&graph, 398, &KEYED), [(100, 72), (220, 26)]);
}
