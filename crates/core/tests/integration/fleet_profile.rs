//! The supervision tree for every size of fleet: exact sum, no orphan, no cycle, balanced.

use ark_os_core::fleet::profile::{FleetPlan, agent_name, parse_agent_name};
use ark_os_core::ids::{AgentIx, StackIx};
use ark_os_core::layer::Layer;
use proptest::prelude::*;

/// The ranges of the hierarchy's table.
const RANGES: [(u32, u32); 6] = [(1, 3), (5, 15), (10, 25), (20, 50), (50, 200), (100, u32::MAX)];

fn check_counts(n: u32, plan: &FleetPlan) {
    assert_eq!(plan.agents(), n, "the sum is exact");
    let counts = plan.counts();
    for (layer, (count, (low, high))) in Layer::ALL.into_iter().zip(counts.into_iter().zip(RANGES))
    {
        assert_eq!(plan.is_held(layer), count == 0);
        if n >= 186 {
            assert!((low..=high).contains(&count), "{n}: {count} of {layer}");
        } else {
            assert!(count <= low.max(n), "{n}: {count} of {layer}");
        }
        // Below six the lowest layers are filled first, one each.
        let expected_held = n < 6 && layer.rank() < 6 - n as usize;
        assert_eq!(plan.is_held(layer), expected_held, "{n} {layer}");
    }
    if n >= 8 {
        let micros = u64::from(plan.count(Layer::Micro));
        assert!(micros * 10 >= u64::from(n) * 3, "{n}: {micros} micros");
    }
}

/// Every seat: supervisor of the right layer, and depth by following supervisors up.
fn check_tree(plan: &FleetPlan) {
    let above = |layer: Layer| match layer {
        Layer::Cecca => None,
        Layer::Board => Some(Layer::Cecca),
        Layer::Executive => Some(Layer::Board),
        Layer::StackChief => Some(Layer::Executive),
        Layer::Specialist | Layer::Micro => Some(Layer::StackChief),
    };
    let mut reports = vec![0u32; plan.agents() as usize];
    let mut depths: Vec<u32> = Vec::with_capacity(reports.len());
    let mut seen = 0;
    for seat in plan.seats() {
        assert_eq!(seat.agent, AgentIx(seen), "seats come in order");
        seen += 1;
        assert_eq!(plan.agent(seat.layer, seat.ordinal), Some(seat.agent));
        assert_eq!(plan.layer(seat.agent), seat.layer);
        assert_eq!(plan.stack(seat.agent), seat.stack);
        match seat.supervisor {
            Some(supervisor) => {
                let (upper, _) = plan.place(supervisor).unwrap();
                assert!(upper < seat.layer, "strictly higher");
                assert_eq!(Some(upper), above(seat.layer));
                reports[supervisor.0 as usize] += 1;
                // Supervisors come before those they supervise, so no cycle is possible.
                assert!(supervisor < seat.agent);
                depths.push(depths[supervisor.0 as usize] + 1);
            }
            None => {
                let is_orphan = above(seat.layer).is_some_and(|upper| !plan.is_held(upper));
                assert!(!is_orphan, "{seat:?}");
                depths.push(1);
            }
        }
    }
    assert_eq!(seen, plan.agents());
    assert_eq!(plan.seat(AgentIx(seen)), None);
    assert!(depths.iter().all(|depth| *depth <= 6));
    for layer in [Layer::Cecca, Layer::Board, Layer::Executive, Layer::StackChief] {
        let spans =
            (0..plan.count(layer)).map(|o| reports[plan.agent(layer, o).unwrap().0 as usize]);
        let (min, max) = (spans.clone().min().unwrap_or(0), spans.max().unwrap_or(0));
        assert!(max - min <= 1, "{layer} supervises {min} to {max}");
    }
}

fn check_stacks(plan: &FleetPlan) {
    let mut sizes: Vec<[u32; 2]> = Vec::new();
    for stack in (0..plan.stack_count()).map(StackIx) {
        let mut size = [0; 2];
        for member in plan.members(stack) {
            let seat = plan.seat(member).unwrap();
            assert_eq!(seat.stack, Some(stack));
            assert_eq!(seat.supervisor, plan.chief(stack));
            size[usize::from(seat.layer == Layer::Micro)] += 1;
        }
        sizes.push(size);
        match plan.chief(stack) {
            Some(chief) => assert_eq!(plan.seat(chief).unwrap().stack, Some(stack)),
            None => assert!(plan.is_held(Layer::StackChief)),
        }
    }
    let workers = plan.count(Layer::Specialist) + plan.count(Layer::Micro);
    assert_eq!(sizes.iter().flatten().sum::<u32>(), workers, "everybody is in one stack");
    let balanced = |count: &dyn Fn(&[u32; 2]) -> u32| {
        let (min, max) = (sizes.iter().map(count).min(), sizes.iter().map(count).max());
        assert!(max.unwrap() - min.unwrap() <= 1, "{sizes:?}");
    };
    balanced(&|size| size[0]);
    balanced(&|size| size[1]);
    balanced(&|size| size[0] + size[1]);
    assert!(sizes.iter().all(|size| size[0] + size[1] > 0), "no stack is empty");
    assert_eq!(plan.members(StackIx(plan.stack_count())).count(), 0);
}

fn check(n: u32) {
    let plan = FleetPlan::for_agents(n);
    check_counts(n, &plan);
    check_tree(&plan);
    check_stacks(&plan);
}

#[test]
fn every_fleet_up_to_a_thousand_is_a_sound_tree() {
    (1..=1_000).for_each(check);
}

#[test]
fn no_layer_shrinks_when_the_fleet_grows() {
    let mut smaller = FleetPlan::for_agents(1);
    for n in 2..=3_000 {
        let plan = FleetPlan::for_agents(n);
        let grown = plan.counts().into_iter().zip(smaller.counts()).map(|(now, was)| now - was);
        assert_eq!(grown.sum::<u32>(), 1, "{n}");
        smaller = plan;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn large_fleets_are_sound_trees(n in 1_001..=200_000u32) {
        check(n);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn foreign_names_are_agents_only_if_they_read_back(name in "(micro|stack-chief|board|x)?-?[0-9+]{0,11}") {
        if let Some((layer, ordinal)) = parse_agent_name(&name) {
            prop_assert_eq!(agent_name(layer, ordinal), name);
        }
    }
}
