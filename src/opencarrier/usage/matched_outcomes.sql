-- Judge the two sides of each session: what is paid, what is disputed, on which rung.
create or replace temp macro near(
    a_in, a_out, a_s, a_units, b_in, b_out, b_s, b_units, volume_ppm, duration_ppm, seconds
) as
    (abs(a_in - b_in) + abs(a_out - b_out)) * 1000000
        <= greatest(a_in + a_out, b_in + b_out) * volume_ppm
    and (abs(a_s - b_s) - seconds) * 1000000 <= greatest(a_s, b_s) * duration_ppm
    and a_units = b_units;

-- Pairs of operators: what they tolerate, and a place in their order, which is quicker to sort by.
create or replace temp table pairs as
select
    s.visited, s.home, row_number() over (order by s.visited, s.home nulls first) as place,
    coalesce(t.volume_ppm, getvariable('volume_ppm'))::hugeint as volume_ppm,
    coalesce(t.duration_ppm, getvariable('duration_ppm'))::hugeint as duration_ppm,
    coalesce(t.duration_s, getvariable('duration_s'))::hugeint as tolerated_s
from (select distinct visited, home from sides) s
left join tolerances t on t.visited = s.visited and t.home is not distinct from s.home;

create or replace temp table judged_sides as
select
    s.visited, s.home, session_id, service, node,
    case
        when not is_claimed or counterpart = 0 then 4
        when claimed_octets_in = other_octets_in
            and claimed_octets_out = other_octets_out
            and claimed_duration_s = other_duration_s
            and claimed_units = other_units then 1
        when near(
            claimed_octets_in, claimed_octets_out, claimed_duration_s, claimed_units,
            other_octets_in, other_octets_out, other_duration_s, other_units,
            volume_ppm, duration_ppm, tolerated_s
        ) then 2
        else 3
    end::tinyint as outcome,
    counterpart,
    claimed_octets_in, claimed_octets_out, claimed_duration_s, claimed_units,
    other_octets_in, other_octets_out, other_duration_s, other_units
from sides s
join pairs p on p.visited = s.visited and p.home is not distinct from s.home
order by place, session_id, service;

create or replace temp view paid_sides as
select
    *,
    case when outcome = 4 then claimed_octets_in else least(claimed_octets_in, other_octets_in) end as paid_octets_in,
    case when outcome = 4 then claimed_octets_out else least(claimed_octets_out, other_octets_out) end as paid_octets_out,
    case when outcome = 4 then claimed_duration_s else least(claimed_duration_s, other_duration_s) end as paid_duration_s,
    case when outcome = 4 then claimed_units else least(claimed_units, other_units) end as paid_units
from judged_sides;

create or replace temp view matches as
select
    visited, home, session_id, service, node, outcome,
    case when outcome = 4 then 1 else 2 end::tinyint as rung,
    counterpart,
    claimed_octets_in, claimed_octets_out, claimed_duration_s, claimed_units,
    other_octets_in, other_octets_out, other_duration_s, other_units,
    paid_octets_in, paid_octets_out, paid_duration_s, paid_units,
    case when outcome = 3 then claimed_octets_in - paid_octets_in else 0::hugeint end as disputed_octets_in,
    case when outcome = 3 then claimed_octets_out - paid_octets_out else 0::hugeint end as disputed_octets_out,
    case when outcome = 3 then claimed_duration_s - paid_duration_s else 0::hugeint end as disputed_duration_s,
    case when outcome = 3 then claimed_units - paid_units else 0::hugeint end as disputed_units
from paid_sides;

-- As they are written: Parquet has no 128-bit integers but decimals.
create or replace temp view written as
select
    visited, home, session_id, service, node, outcome, rung, counterpart,
    columns('^(claimed|other|paid|disputed)_')::decimal(38, 0)
from matches;
