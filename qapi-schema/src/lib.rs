//! The QMP contract.
