-- A row of theirs is a usage, or a part of a session: so are ours.
create temp view owned as select *, true as one_line, true as is_stepped from parts;
