//! What may change on the wire, and the rules: which change breaks clients, by the direction of the data.

use std::fmt;

use super::condition::Shift;

/// Who writes the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// The client: arguments.
    Sent,
    /// The server: what commands return, what events carry.
    Received,
}

/// What changed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum What {
    /// It is new.
    Added(Thing),
    /// It is gone.
    Removed(Thing),
    /// A member that was mandatory may be absent.
    Optional,
    /// A member that could be absent is mandatory.
    Mandatory,
    /// A type changed.
    Type {
        /// The name before.
        old: String,
        /// The name now.
        new: String,
        /// How the sets of values compare.
        values: Values,
    },
    /// It exists in other configurations.
    Condition {
        /// What has the condition.
        thing: Thing,
        /// The condition before.
        old: String,
        /// The condition now.
        new: String,
        /// In which configurations it exists.
        shift: Shift,
    },
    /// Another member of a union decides.
    Discriminator {
        /// Its name before.
        old: String,
        /// Its name now.
        new: String,
    },
}

/// What comes, goes or depends on a condition.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Thing {
    /// A command or an event.
    Exchange,
    /// A member, which its path names.
    Member {
        /// It must be there.
        mandatory: bool,
    },
    /// A value of an enumeration.
    Value(String),
    /// The members that a union has for a value of its discriminator.
    Case(String),
    /// The type of an alternate's branch. The branch's name is not seen on the wire.
    Branch(String),
    /// A feature.
    Feature {
        /// The enumeration's value that has it, if it is one that has it.
        value: Option<String>,
        /// Its name.
        name: String,
    },
    /// A flag of a command that clients see.
    Flag(Flag),
}

/// Flags of commands that clients see, when they are not what they are by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Flag {
    /// `'allow-oob': true`
    AllowOob,
    /// `'allow-preconfig': true`
    AllowPreconfig,
    /// `'gen': false`, which leaves arguments unchecked
    Unchecked,
    /// `'success-response': false`
    Unanswered,
}

/// The values of a type, compared with those that it had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Values {
    /// All of them and others.
    More,
    /// Some of them and no others.
    Fewer,
    /// Neither.
    Other,
}

impl What {
    /// Whether a client that knows what was before may fail.
    ///
    /// QEMU's rules: what clients send must be understood as before; in what they receive they ignore members, and
    /// bear values, that they do not know, but miss what is gone. QEMU lets go what was never received any more;
    /// no schema shows that.
    pub fn breaks(&self, direction: Direction) -> bool {
        match self {
            Self::Added(thing) => thing.breaks_where_added(direction),
            Self::Removed(thing) => thing.breaks_where_removed(direction),
            Self::Optional => direction == Direction::Received,
            Self::Mandatory => direction == Direction::Sent,
            Self::Type { values: Values::More, .. } => direction == Direction::Received,
            Self::Type { values: Values::Fewer, .. } => direction == Direction::Sent,
            Self::Type { values: Values::Other, .. } | Self::Discriminator { .. } => true,
            Self::Condition { thing, shift, .. } => {
                shift.more && thing.breaks_where_added(direction)
                    || shift.fewer && thing.breaks_where_removed(direction)
            }
        }
    }
}

impl Thing {
    fn breaks_where_added(&self, direction: Direction) -> bool {
        match self {
            Self::Member { mandatory } => *mandatory && direction == Direction::Sent,
            Self::Branch(_) => direction == Direction::Received,
            // A client that waits for no answer takes it for that of the next command.
            Self::Flag(flag) => *flag == Flag::Unanswered,
            Self::Exchange | Self::Value(_) | Self::Case(_) | Self::Feature { .. } => false,
        }
    }

    fn breaks_where_removed(&self, direction: Direction) -> bool {
        match self {
            Self::Branch(_) => direction == Direction::Sent,
            // They only warn.
            Self::Feature { name, .. } => !matches!(name.as_str(), "deprecated" | "unstable"),
            Self::Exchange | Self::Member { .. } | Self::Value(_) | Self::Case(_) | Self::Flag(_) => true,
        }
    }
}

impl fmt::Display for Flag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AllowOob => "'allow-oob': true",
            Self::AllowPreconfig => "'allow-preconfig': true",
            Self::Unchecked => "'gen': false",
            Self::Unanswered => "'success-response': false",
        })
    }
}

impl fmt::Display for Thing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exchange | Self::Member { .. } => Ok(()),
            Self::Value(name) => write!(f, ": value '{name}'"),
            Self::Case(name) => write!(f, ": branch '{name}'"),
            Self::Branch(ty) => write!(f, ": branch of type '{ty}'"),
            Self::Feature { value: None, name } => write!(f, ": feature '{name}'"),
            Self::Feature { value: Some(value), name } => write!(f, ": value '{value}': feature '{name}'"),
            Self::Flag(flag) => write!(f, ": {flag}"),
        }
    }
}

/// The rest of a sentence that starts with the place.
impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Added(Thing::Member { mandatory: true }) => f.write_str(" is new and mandatory"),
            Self::Added(thing) => write!(f, "{thing} is new"),
            Self::Removed(thing) => write!(f, "{thing} was removed"),
            Self::Optional => f.write_str(" is no longer mandatory"),
            Self::Mandatory => f.write_str(" is now mandatory"),
            Self::Type { old, new, values } => {
                write!(f, " changed from '{old}' to '{new}'")?;
                f.write_str(match values {
                    Values::More => ", which has more values",
                    Values::Fewer => ", which has fewer values",
                    Values::Other => "",
                })
            }
            Self::Condition { thing, old, new, .. } => write!(f, "{thing}: 'if' changed from {old} to {new}"),
            Self::Discriminator { old, new } => write!(f, ": discriminator changed from '{old}' to '{new}'"),
        }
    }
}
