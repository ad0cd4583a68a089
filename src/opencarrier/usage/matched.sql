-- Match `records()` by session: matching.py in SQL, rule by rule.

-- Whose meter a record tells of: 1 the visited operator's, by itself; 2 the same, by others; 3 the
-- home's; 4 the device's, signed. The first two claim.
create or replace temp view claims as
select *, case when reporter = visited then 1 else 2 end::tinyint as meter
from records() where side = 1;

create or replace temp view counterparts as
select *, (side + 1)::tinyint as meter
from records() where side > 1 and (side = 2 and reporter = home or side = 3 and (evidence & 8) <> 0);

-- Most sessions have one record a side: its amounts are the side's.
create or replace temp table sides as
select
    coalesce(c.visited, o.visited) as visited,
    case when c.meter is null then o.home else c.home end as home,
    coalesce(c.session_id, o.session_id) as session_id,
    coalesce(c.service, o.service) as service,
    c.node,
    c.meter is not null as is_claimed,
    coalesce(o.meter - 1, 0)::tinyint as counterpart,
    coalesce(c.kind, 1) <> 1 or coalesce(o.kind, 1) <> 1 as is_changed,
    coalesce(c.octets_in, 0)::hugeint as claimed_octets_in,
    coalesce(c.octets_out, 0)::hugeint as claimed_octets_out,
    coalesce(c.duration_s, 0)::hugeint as claimed_duration_s,
    coalesce(c.units, 0)::hugeint as claimed_units,
    coalesce(o.octets_in, 0)::hugeint as other_octets_in,
    coalesce(o.octets_out, 0)::hugeint as other_octets_out,
    coalesce(o.duration_s, 0)::hugeint as other_duration_s,
    coalesce(o.units, 0)::hugeint as other_units
from claims c
full join counterparts o on
    c.visited = o.visited and c.home is not distinct from o.home
    and c.session_id = o.session_id and c.service = o.service;

-- Of the others a side's amounts are what counts of its records: `matched_again` finds out.
create or replace temp table doubtful as
select session_id from sides group by session_id having count(*) > 1 or bool_or(is_changed);
