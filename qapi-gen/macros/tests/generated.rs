//! Generated code for every construct of the language: it compiles without warnings, and it is strict.
#![deny(warnings, missing_docs)]
#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

use std::sync::Arc;

use common::{Base, Id, Timestamp};
use main::{
    Circle, Commands, Group, KindOfShape, Mode, Option as QapiOption, Outer, OuterKind, Scalars, Shape, ShapeKind,
    ShapeRef, Sparse, Square, String as QapiString, Tree, TypeOf, TypeOfKind, event,
};
use qapi_schema::{Arguments, Command, CommandOptions, Error, Event, FromValue, QType, Reply, Visitor};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

qapi_gen_macros::include_schema!("tests/schema/main.json");

fn read<T: FromValue>(value: Value) -> Result<T, String> {
    T::from_value(value, &Visitor::json().member("x")).map_err(|error| error.to_string())
}

/// Reads the value and writes it again.
fn round_trip<T: FromValue + Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: Value) -> T {
    let read: T = read(value.clone()).expect("valid");
    assert_eq!(serde_json::to_value(&read).expect("serialisable"), value);
    assert_eq!(serde_json::from_value::<T>(value).expect("valid"), read);
    read
}

fn refused<T: FromValue + std::fmt::Debug>(value: Value) -> String {
    read::<T>(value).expect_err("invalid")
}

#[test]
fn enumerations_are_named_as_on_the_wire() {
    let slow: Mode = round_trip(json!("very-slow"));
    assert_eq!(Mode::ALL, [Mode::Fast, slow, Mode::_2k, Mode::Self_]);
    assert_eq!(Mode::_2k.to_string(), "2k");
    assert_eq!("self".parse(), Ok(Mode::Self_));
    assert_eq!(
        "slow".parse::<Mode>(),
        Err(Error::generic("Invalid value 'slow', expected one of fast, very-slow, 2k, self"))
    );
    assert_eq!(refused::<Mode>(json!("slow")), "Parameter 'x' does not accept value 'slow'");
    assert_eq!(refused::<Mode>(json!(1)), "Invalid parameter type for 'x', expected: string");
}

#[test]
fn structs_are_flat_objects_in_the_order_of_the_schema() {
    let scalars: Scalars = round_trip(json!({
        "i": -1, "i8": -8, "i16": -16, "i32": -32, "i64": i64::MIN,
        "u8": 8, "u16": 16, "u32": 32, "u64": u64::MAX, "size": 1, "type": true, "nothing": null
    }));
    assert!(scalars.r#type);
    let sparse: Sparse =
        round_trip(json!({ "id": "shape", "a-1": "x", "a1": "y", "CamelCase": 1.5, "under_score": [1], "any": [{}] }));
    assert_eq!((sparse.a_1.as_str(), sparse.a1.as_str(), sparse.camel_case), ("x", "y", 1.5));
    let text = serde_json::to_string(&sparse).expect("serialisable");
    assert_eq!(text, r#"{"id":"shape","a-1":"x","a1":"y","CamelCase":1.5,"under_score":[1],"any":[{}]}"#);
    assert_eq!(
        round_trip::<QapiString>(json!({ "option": { "some": "x" } })).option.map(|o: QapiOption| o.some),
        Some("x".into())
    );
}

#[test]
fn the_enumeration_of_the_language_decides_like_any_other() {
    assert_eq!(round_trip::<TypeOf>(json!({ "type": "qlist" })).r#type, TypeOfKind::Qlist);
    let dict: TypeOf = round_trip(json!({ "type": "qdict", "id": "shape" }));
    assert_eq!(dict.r#type.discriminator(), QType::Qdict);
}

#[test]
fn what_holds_itself_is_boxed() {
    let tree: Tree = round_trip(json!({ "left": { "children": [], "value": 1 }, "children": [], "value": 2 }));
    assert_eq!(tree.left.map(|left| left.value), Some(1));
}

#[test]
fn unions_hold_the_chosen_branch() {
    let shape: Shape = round_trip(json!({ "name": "a", "kind": "circle", "radius": 3 }));
    assert_eq!(shape, Shape { name: "a".into(), kind: ShapeKind::Circle(Circle { radius: 3 }), mode: None });
    assert_eq!(shape.kind.discriminator(), KindOfShape::Circle);
    let group: Shape =
        round_trip(json!({ "name": "g", "kind": "group", "mode": "fast", "first": { "name": "n", "kind": "none" } }));
    let first = Shape { name: "n".into(), kind: ShapeKind::None, mode: None };
    assert_eq!(group.kind, ShapeKind::Group(Group { first: Box::new(first), others: None }));
    let outer: Outer = round_trip(json!({ "id": "shape", "name": "a", "kind": "square", "side": 2 }));
    assert!(matches!(outer.id, OuterKind::Shape(Shape { kind: ShapeKind::Square(Square { side: 2 }), .. })));
}

#[test]
fn alternates_are_chosen_by_the_type_of_the_value() {
    assert_eq!(round_trip::<ShapeRef>(json!("fast")), ShapeRef::Reference(Mode::Fast));
    assert_eq!(round_trip::<ShapeRef>(json!(true)), ShapeRef::Flag(true));
    assert_eq!(round_trip::<ShapeRef>(json!(null)), ShapeRef::Nothing(()));
    assert!(matches!(round_trip(json!({ "name": "n", "kind": "none" })), ShapeRef::Definition(_)));
    assert!(matches!(round_trip(json!([{ "name": "n", "kind": "none" }])), ShapeRef::Several(_)));
    assert_eq!(
        refused::<ShapeRef>(json!(1)),
        "Invalid parameter type for 'x', expected: null or boolean or string or object or array"
    );
}

#[test]
fn what_the_schema_does_not_allow_is_refused_by_its_path() {
    let shape = |value| refused::<Shape>(value);
    assert_eq!(shape(json!({})), "Parameter 'x.name' is missing");
    assert_eq!(shape(json!({ "name": "a", "mode": "none of them" })), "Parameter 'x.kind' is missing");
    assert_eq!(shape(json!({ "name": "a", "kind": "oval" })), "Parameter 'x.kind' does not accept value 'oval'");
    assert_eq!(shape(json!({ "name": "a", "kind": "circle" })), "Parameter 'x.radius' is missing");
    assert_eq!(shape(json!({ "name": "a", "kind": "none", "radius": 1 })), "Parameter 'x.radius' is unexpected");
    assert_eq!(
        shape(json!({ "name": "a", "kind": "circle", "radius": "1" })),
        "Invalid parameter type for 'x.radius', expected: integer"
    );
    assert_eq!(
        shape(json!({ "name": "g", "kind": "group", "first": { "name": 1, "kind": "none" } })),
        "Invalid parameter type for 'x.first.name', expected: string"
    );
    assert_eq!(shape(json!([])), "Invalid parameter type for 'x', expected: object");
    assert_eq!(
        refused::<Tree>(json!({ "value": 1, "children": [{ "value": 1, "children": [], "extra": 1 }] })),
        "Parameter 'x.children[0].extra' is unexpected"
    );
}

#[test]
fn traits_are_derived_where_the_members_allow() {
    fn copied<T: Copy + Eq + std::hash::Hash>(_: T) {}
    copied(Timestamp { seconds: 1, microseconds: 2 });
    copied(Square { side: 1 });
    copied(event::Stop);
    fn hashed<T: Eq + std::hash::Hash>(_: &T) {}
    hashed(&Base { id: Id::Shape, note: None });
    hashed(&ShapeRef::Flag(true));
}

struct Canvas;

impl Commands for Canvas {
    fn old_command(&self) -> Result<(), Error> {
        Ok(())
    }

    fn draw(&self, target: String, self_: i64, members: Option<ShapeRef>) -> Result<Shape, Error> {
        let mode = matches!(members, Some(ShapeRef::Reference(Mode::Fast))).then_some(Mode::Fast);
        Ok(Shape { name: format!("{target}{self_}"), kind: ShapeKind::None, mode })
    }

    fn draw_boxed(&self, arguments: Shape) -> Result<(), Error> {
        Err(Error::generic(arguments.name))
    }

    fn draw_struct(&self, side: i64) -> Result<Vec<Square>, Error> {
        Ok(vec![Square { side }])
    }

    fn count(&self) -> Result<i64, Error> {
        Ok(7)
    }

    fn names(&self) -> Result<Vec<String>, Error> {
        Ok(vec!["a".into()])
    }

    fn raw(&self, arguments: Arguments) -> Result<Reply, Error> {
        Ok(Box::new(Value::Object(arguments)))
    }

    fn shutdown(&self) -> Result<(), Error> {
        Ok(())
    }
}

fn call(name: &str, arguments: Value) -> Result<Value, String> {
    let commands = main::commands(&Arc::new(Canvas));
    let command = commands.iter().find(|command| command.name() == name).expect("in the table");
    let Value::Object(arguments) = arguments else { panic!("no object") };
    command.call(arguments).map(|reply| reply.value()).map_err(|error| error.to_string())
}

#[test]
fn the_table_calls_the_methods() {
    assert_eq!(call("old_command", json!({})), Ok(json!({})));
    assert_eq!(
        call("draw", json!({ "target": "a", "self": 2, "members": "fast" })),
        Ok(json!({ "name": "a2", "kind": "none", "mode": "fast" }))
    );
    assert_eq!(call("draw-boxed", json!({ "name": "boxed", "kind": "none" })), Err("boxed".into()));
    assert_eq!(call("draw-struct", json!({ "side": 3 })), Ok(json!([{ "side": 3 }])));
    assert_eq!(call("count", json!({})), Ok(json!(7)));
    assert_eq!(call("count", json!({ "x": 1 })), Err("Parameter 'x' is unexpected".into()));
    assert_eq!(call("draw", json!({ "self": 1 })), Err("Parameter 'target' is missing".into()));
    assert_eq!(
        call("draw-boxed", json!({ "name": "a", "kind": "none", "y": 1 })),
        Err("Parameter 'y' is unexpected".into())
    );
}

#[test]
fn without_gen_the_method_gets_the_arguments_unchecked_and_makes_the_reply() {
    assert_eq!(call("raw", json!({ "x": [1], "y": null })), Ok(json!({ "x": [1], "y": null })));
}

#[test]
fn the_table_has_the_names_and_flags_of_the_schema() {
    let commands = main::commands(&Arc::new(Canvas));
    let names: Vec<_> = commands.iter().map(Command::name).collect();
    assert_eq!(names, main::COMMANDS);
    assert_eq!(names, ["old_command", "draw", "draw-boxed", "draw-struct", "count", "names", "raw", "shutdown"]);
    let options = |name| commands.iter().find(|command| command.name() == name).map(Command::options);
    let plain = CommandOptions { allow_oob: false, allow_preconfig: false, coroutine: false, success_response: true };
    assert_eq!(options("count"), Some(plain));
    assert_eq!(plain, CommandOptions::default());
    assert_eq!(options("draw"), Some(CommandOptions { allow_oob: true, allow_preconfig: true, ..plain }));
    assert_eq!(options("draw-boxed"), Some(CommandOptions { coroutine: true, ..plain }));
    assert_eq!(options("shutdown"), Some(CommandOptions { success_response: false, ..plain }));
}

#[test]
fn events_have_a_name_and_data() {
    let data = |event: &dyn Event| (event.name(), event.data().map(|data| data.value()));
    let shape = || Shape { name: "a".into(), kind: ShapeKind::None, mode: None };
    assert_eq!(data(&event::Stop), ("STOP", None));
    assert_eq!(data(&event::SquareDrawn { side: 1 }), ("SQUARE_DRAWN", Some(json!({ "side": 1 }))));
    assert_eq!(data(&event::BoxedDrawn(shape())), ("BOXED_DRAWN", Some(json!({ "name": "a", "kind": "none" }))));
    let at = Timestamp { seconds: 1, microseconds: 2 };
    let drawn = event::ShapeDrawn { shape: shape(), r#ref: None, at };
    let expected = json!({ "shape": { "name": "a", "kind": "none" }, "at": { "seconds": 1, "microseconds": 2 } });
    assert_eq!(data(&drawn), ("SHAPE_DRAWN", Some(expected)));
}

#[test]
fn the_constant_says_what_the_compiler_prints() {
    let schema = qapi_gen::compile("tests/schema/main.json").expect("a valid schema");
    let printed = qapi_gen::introspect::json(&qapi_gen::introspect::introspect(&schema));
    let printed: Value = serde_json::from_str(&printed).expect("JSON");
    assert_eq!(serde_json::to_value(&INTROSPECTION).expect("serialisable"), printed);
}
