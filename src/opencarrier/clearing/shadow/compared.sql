-- What differs, and why. A row that is not there, or stands in another account, differs whole; else
-- what differs is taken apart in one order: period, what waits, exchange, volume, price, tax. Each
-- step asks what theirs would come to if only that were ours, so the steps add up exactly.

-- A part of a value, half up; nothing where it has no sense or leaves 128 bits.
create temp macro share(amount, part, whole) as
    case when amount > 0 and part >= 0 and whole > 0 then
        try(amount // whole * part + (2 * (amount % whole) * part + whole) // (2 * whole))
    end;

create temp macro steps(quantity, first_step, next_step) as
    case
        when quantity > 0
        then greatest(first_step // next_step, (quantity - 1) // next_step + 1)::hugeint
        when quantity = 0 then 0::hugeint
    end;

create temp table unequal as
select
    t.key as their_key, t.line, t.home as their_home, t.visited as their_visited,
    t.currency as their_currency, t.nano as their_nano, t.net as their_net,
    t.exchange_nano as their_exchange, t.n, t.unit_nano, t.records,
    o.key as our_key, o.usage_id, o.home as our_home, o.visited as our_visited,
    coalesce(o.currency, t.currency) as our_currency, o.nano as our_nano, o.net as our_net,
    o.exchange_nano as our_exchange, o.status, o.counts, o.start_us,
    coalesce(t.key, o.key) as key, coalesce(t.start_s, o.start_s) as start_s,
    coalesce(o.service, t.service) as service, coalesce(t.period, o.period) as period,
    o.unit,
    quantity(
        o.unit, t.octets, t.octets_in, t.octets_out, t.duration_s, t.units
    ) as their_quantity,
    o.quantity as our_quantity, o.first_step, o.next_step,
    o.outside, o.outside_net, o.outside_quantity, o.waiting_quantity
from (from theirs where not beside) as t
full join ours as o on t.key = o.key and t.start_s = o.start_s and t.n = o.n
where
    case
        when t.key is null then o.counts
        when o.key is null or not o.counts then true
        else
            t.nano <> o.nano or o.currency <> t.currency
            or t.home is distinct from o.home or t.visited is distinct from o.visited
    end;

create temp table judged as
select
    unequal.*,
    (case
        when our_key is null and n > 1 then 3
        when our_key is null then 2
        when their_key is null and neighbour.key is not null then 4
        when their_key is null and left(period, 7) <> getvariable('month') then 4
        when their_key is null then 1
        when not counts then 4
        when status > 0 then 5
        when their_home is distinct from our_home or their_visited <> our_visited then 6
        when their_currency <> our_currency then 7
        else 0
    end)::tinyint as cause
from unequal left join (
    select distinct key, start_s from theirs where beside
) as neighbour using (key, start_s);

-- What is there on both sides in one account, step by step from theirs to ours.
create temp view stepwise as
with
in_month as (
    select
        *,
        outside <> 0 and abs(their_nano - outside - our_nano) < abs(their_nano - our_nano) as is_cut,
        case when is_cut then their_nano - outside else their_nano end as of_month,
        case when is_cut then their_quantity - outside_quantity else their_quantity end as quantity
    from judged where cause = 0
),
without_waiting as (
    select
        *,
        coalesce(
            case when waiting_quantity > 0 then share(of_month, quantity - waiting_quantity, quantity) end,
            of_month
        ) as not_waiting,
        case when waiting_quantity > 0 then quantity - waiting_quantity else quantity end as rated_quantity
    from in_month
),
exchanged as (
    select *, coalesce(share(not_waiting, our_exchange, their_exchange), not_waiting) as at_our_rate
    from without_waiting
),
metered as (
    select
        *,
        coalesce(
            share(
                at_our_rate,
                steps(our_quantity, first_step, next_step),
                steps(rated_quantity, first_step, next_step)
            ),
            at_our_rate
        ) as at_our_volume
    from exchanged
),
priced as (
    select
        *,
        coalesce(
            case when not getvariable('without_tax') then share(their_nano, our_net, their_net) end,
            our_nano
        ) as at_our_price,
        getvariable('rounding')::hugeint * unit_nano * greatest(records, 1) as tolerance,
        case when getvariable('rows_are') = 'sum' and rated_quantity is null then 14 else 10 end
            as price_cause
    from metered
)
select
    *,
    [
        {'cause': 4, 'nano': of_month - their_nano},
        {'cause': 5, 'nano': not_waiting - of_month},
        {'cause': 8, 'nano': at_our_rate - not_waiting},
        {'cause': 9, 'nano': at_our_volume - at_our_rate},
        {'cause': price_cause, 'nano': at_our_price - at_our_volume},
        {'cause': 11, 'nano': our_nano - at_our_price}
    ] as taken,
    list_transform(taken, lambda step: abs(step.nano)) as sizes,
    list_position(sizes, list_max(sizes)) as largest
from priced;

-- A step within what rounding explains goes to the largest; all of it, where the whole is within.
create temp view explained as
select
    *,
    case
        when abs(our_nano - their_nano) <= tolerance
        then [{'cause': 12, 'nano': our_nano - their_nano}]
        else list_transform(taken, lambda step, place: {
            'cause': step.cause,
            'nano': case
                when place = largest then our_nano - their_nano - coalesce(list_sum(
                    [
                        other.nano for other, slot in taken
                        if slot <> largest and abs(other.nano) > tolerance
                    ]
                ), 0)
                when abs(step.nano) > tolerance then step.nano
                else 0
            end
        })
    end as causes
from stepwise;

create temp table differences as
with
whole as (
    select *, their_home as home, their_visited as visited, their_currency as currency,
        their_nano as theirs, 0::hugeint as ours, cause as reason, -their_nano as nano
    from judged where their_key is not null and cause in (2, 3, 4, 5, 6, 7)
    union all
    select *, our_home as home, our_visited as visited, our_currency as currency,
        0::hugeint as theirs, our_nano as ours, cause as reason, our_nano as nano
    from judged where our_key is not null and counts and cause in (1, 4, 6, 7)
),
partly as (
    select
        * exclude (step), step.cause as reason, step.nano as nano
    from (
        select
            *, their_home as home, their_visited as visited, their_currency as currency,
            their_nano as theirs, our_nano as ours, unnest(causes) as step
        from explained
    )
)
select
    home, visited, currency, reason::tinyint as reason, service,
    coalesce(
        period,
        strftime(make_timestamp(coalesce(start_us, nullif(start_s, -1) * 1000000)), '%Y-%m-%d')
    ) as period,
    key, usage_id, line, theirs, ours, nano, their_quantity, our_quantity,
    coalesce(their_net, their_nano) // nullif(steps(their_quantity, first_step, next_step), 0)
        as their_price,
    our_net // nullif(steps(our_quantity, first_step, next_step), 0) as our_price,
    case when reason = 5 then status end as status
from (from whole union all by name from partly)
where nano <> 0
union all by name
select
    home, visited, currency, 13::tinyint as reason,
    coalesce(t.nano, 0) as theirs, coalesce(o.nano, 0) as ours, ours - theirs as nano
from (
    select home, visited, currency, sum(nano) as nano from told
    where is_adjustment and not beside group by all
) as t
full join adjusted as o using (home, visited, currency)
where coalesce(t.nano, 0) <> coalesce(o.nano, 0);
