-- Both sides by home, visited, service, day or month, and currency. What of ours stands outside the
-- month but in a day or month of theirs is kept apart (`outside`), and so is what waits.
create temp macro cell(home, visited, service, period, currency) as
    encode(concat_ws('|', home, visited, service, period, currency));

create temp macro unit_of(service) as
    case when service in (1, 2, 6) then 1 when service = 3 then 4 else 6 end;

create temp table theirs as
select
    beside, home, visited, service, period, currency,
    cell(home, visited, service, period, currency) as key, -1::bigint as start_s, 1::bigint as n,
    min(line) as line, least(sum(records), 1099511627776)::bigint as records, any_value(unit_nano) as unit_nano,
    sum(nano) as nano,
    case when count(net) = count(*) then sum(net) end as net,
    case when count(octets) = count(*) then sum(octets) end as octets,
    null::bigint as octets_in, null::bigint as octets_out,
    case when count(duration_s) = count(*) then sum(duration_s::hugeint) end as duration_s,
    case when count(units) = count(*) then sum(units::hugeint) end as units,
    case when min(exchange_nano) = max(exchange_nano) then min(exchange_nano) end as exchange_nano
from told where not is_adjustment
group by beside, home, visited, service, period, currency;

create temp view placed as
select
    *,
    strftime(make_timestamp(start_us + getvariable('offset_us')), getvariable('period_format'))
        as period,
    quantity(
        unit_of(service), octets_in::hugeint + octets_out, octets_in, octets_out, duration_s, units
    )::hugeint as quantity
from parts where home is not null;

create temp table waiting as
select
    home, visited, service, period, max(status) as status, sum(quantity) as quantity
from placed where status > 0 and counts
group by home, visited, service, period;

create temp table rated_cells as
select
    cell(home, visited, service, period, currency) as key, -1::bigint as start_s, 1::bigint as n,
    home, visited, service, period, currency, bool_or(counts) as counts, 0::tinyint as status,
    min(start_us) as start_us, null::blob as usage_id, unit_of(service) as unit,
    coalesce(sum(nano) filter (counts), 0) as nano, coalesce(sum(net) filter (counts), 0) as net,
    coalesce(sum(nano) filter (not counts), 0) as outside,
    coalesce(sum(net) filter (not counts), 0) as outside_net,
    coalesce(sum(placed.quantity) filter (counts), 0) as quantity,
    coalesce(sum(placed.quantity) filter (not counts), 0) as outside_quantity,
    coalesce(any_value(waiting.quantity), 0) as waiting_quantity,
    1::bigint as first_step, 1::bigint as next_step,
    case when min(exchange_nano) = max(exchange_nano) then min(exchange_nano) end as exchange_nano
from placed left join waiting using (home, visited, service, period)
where placed.status = 0 and currency is not null
group by home, visited, service, period, currency;

-- A cell of theirs where nothing of ours is rated yet, but something waits.
create temp view ours as
from rated_cells
union all by name
select
    theirs.key, -1::bigint as start_s, 1::bigint as n, home, visited, service, period,
    theirs.currency, true as counts, waiting.status, 0::hugeint as nano, 0::hugeint as net
from theirs join waiting using (home, visited, service, period)
where not theirs.beside and theirs.key not in (select key from rated_cells);
