//! `qdev.json` served from a [`Board`].

use qapi_schema::qdev::Commands;
use qapi_schema::qom::ObjectPropertyInfo;
use qapi_schema::{Arguments, Command, Dialect, Error, Reply};

use crate::board::Board;
use crate::qom;

impl Commands for Board {
    fn device_add(&self, arguments: Arguments) -> Result<Reply, Error> {
        Self::device_add(self, arguments, Dialect::Json)?;
        Ok(Command::empty())
    }

    fn device_del(&self, id: String) -> Result<(), Error> {
        Self::device_del(self, &id)
    }

    fn device_list_properties(&self, typename: String) -> Result<Vec<ObjectPropertyInfo>, Error> {
        qom::list_properties(&typename)
    }
}
