//! The state diagram drawn from [`TRANSITIONS`], for the documentation.

use std::f64::consts::TAU;
use std::fmt::Write;

use qapi_schema::run_state::RunState;

use crate::run_state::TRANSITIONS;

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 620.0;
/// Half the size of a state's box.
const BOX: (f64, f64) = (64.0, 15.0);

/// `docs/run-state.svg`. `cargo run -p vl --example run-state-diagram` writes it.
///
/// `running` stands in the middle and the stopped states around it. A line has an arrow head at each end that it can be
/// walked to; resets, which every stopped state but one has, are dotted.
pub fn svg() -> String {
    let mut lines = String::new();
    for (index, &(from, followers)) in TRANSITIONS.iter().enumerate() {
        for &to in followers {
            let back = TRANSITIONS.iter().position(|&(state, followers)| state == to && followers.contains(&from));
            if back.is_none_or(|back| back > index) {
                line(&mut lines, from, to, back.is_some());
            }
        }
    }
    let mut boxes = String::new();
    for &(state, _) in TRANSITIONS {
        let (x, y) = place(state);
        let class = if state == RunState::Running { "running" } else { "stopped" };
        let (left, top) = (x - BOX.0, y - BOX.1);
        // Writing to a string does not fail.
        let _ = writeln!(
            boxes,
            "<rect class=\"{class}\" x=\"{left:.0}\" y=\"{top:.0}\" width=\"{:.0}\" height=\"{:.0}\" rx=\"7\"/>\
             <text x=\"{x:.0}\" y=\"{:.0}\">{state}</text>",
            2.0 * BOX.0,
            2.0 * BOX.1,
            y + 5.0,
        );
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
         aria-label=\"Run states and their transitions\">\n{STYLE}\n{lines}{boxes}</svg>\n"
    )
}

const STYLE: &str = r##"<style>
.paper { fill: #fff }
rect { stroke: #333; fill: #eef1f6 } rect.running { fill: #cfeccf } text { font: 14px sans-serif; text-anchor: middle; fill: #111 }
path { fill: none; stroke: #9aa4b5; marker-end: url(#end) } path.both { marker-start: url(#end) }
path.main { stroke: #1d6b2a; stroke-width: 1.6 } path.reset { stroke-dasharray: 2 4 }
marker path { fill: context-stroke; stroke: none; marker: none }
</style>
<defs><marker id="end" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto-start-reverse"><path d="M0 0L8 4L0 8z"/></marker></defs>
<rect class="paper" width="100%" height="100%"/>"##;

/// `running` in the middle, the others clockwise from the top in the order of the table.
fn place(state: RunState) -> (f64, f64) {
    let (x, y) = (WIDTH / 2.0, HEIGHT / 2.0);
    let stopped = TRANSITIONS.iter().map(|&(state, _)| state).filter(|&state| state != RunState::Running);
    let Some(index) = stopped.clone().position(|other| other == state) else {
        return (x, y);
    };
    let share = |count: usize| u32::try_from(count).map_or(0.0, f64::from);
    let (sin, cos) = (TAU * share(index) / share(stopped.count())).sin_cos();
    ((x - BOX.0 - 20.0).mul_add(sin, x), (y - BOX.1 - 20.0).mul_add(-cos, y))
}

fn line(out: &mut String, from: RunState, to: RunState, both: bool) {
    let (start, end) = (place(from), place(to));
    let class = match (from, to) {
        (RunState::Running, _) | (_, RunState::Running) => "main",
        (_, RunState::Prelaunch) => "reset",
        (RunState::Prelaunch, _) if both => "reset",
        _ => "other",
    };
    let class = if both { format!("{class} both") } else { class.to_owned() };
    // Bent towards the middle, but not through it, where `running` is.
    let bend = |a: f64, b: f64, middle: f64| {
        if class.starts_with("main") { (a + b) / 2.0 } else { 0.3f64.mul_add(middle, 0.35 * (a + b)) }
    };
    let control = (bend(start.0, end.0, WIDTH / 2.0), bend(start.1, end.1, HEIGHT / 2.0));
    let ((x1, y1), (x2, y2)) = (edge(start, control), edge(end, control));
    let _ = writeln!(
        out,
        "<path class=\"{class}\" d=\"M{x1:.0} {y1:.0}Q{:.0} {:.0} {x2:.0} {y2:.0}\"/>",
        control.0, control.1
    );
}

/// Where the line from a box's middle towards a point leaves the box.
fn edge((x, y): (f64, f64), towards: (f64, f64)) -> (f64, f64) {
    let (dx, dy) = (towards.0 - x, towards.1 - y);
    let scale = (BOX.0 / dx.abs()).min(BOX.1 / dy.abs());
    (scale.mul_add(dx, x), scale.mul_add(dy, y))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picture_in_the_documentation_is_that_of_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/run-state.svg");
        let drawn = std::fs::read_to_string(path).expect("docs/run-state.svg");
        assert_eq!(drawn, svg(), "run: cargo run -p vl --example run-state-diagram");
    }
}
