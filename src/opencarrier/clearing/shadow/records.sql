-- Both sides record by record. `n` counts rows of one name: theirs in the order of the file, so what
-- comes again after our records of it is a copy.
create temp table repeated as
select beside, key, start_s from told where key is not null group by all having count(*) > 1;

create temp table theirs as
select told.*, 1::bigint as n
from told anti join repeated using (beside, key, start_s) where key is not null
union all by name
select told.*, row_number() over (partition by beside, key, start_s order by line) as n
from told semi join repeated using (beside, key, start_s);

create temp table split as
select key, start_s from owned group by all having count(*) > 1;

create temp view ours as
select
    numbered.* exclude (line, one_line, is_stepped, octets_in, octets_out, duration_s, units),
    null::varchar as period,
    quantity(
        case when one_line then unit end,
        octets_in::hugeint + octets_out, octets_in, octets_out, duration_s, numbered.units
    ) as quantity,
    case when one_line then unit end as unit,
    case when is_stepped then first_step else 1 end as first_step,
    case when is_stepped then next_step else 1 end as next_step,
    0::hugeint as outside, 0::hugeint as outside_net, 0::hugeint as outside_quantity,
    0::hugeint as waiting_quantity
from (
    select owned.*, 1::bigint as n from owned anti join split using (key, start_s)
    union all by name
    select
        owned.*,
        row_number() over (
            partition by key, start_s order by counts desc, status, start_us, usage_id
        ) as n
    from owned semi join split using (key, start_s)
) as numbered
left join lines on lines.line = numbered.line;
