-- Rate the visited operators' reports among `records`, once: a row each, with every leg, or why it
-- waits (`status`: the number of a SuspenseReason, 0 where it is rated).
create or replace temp table rated as
with
used as (
    select
        usage_id, kind, corrects, sequence, home, visited, subject, node, service,
        start_us // 86400000000 as day,
        rcoi = 2 as is_free,
        (case when rcoi = 2 then -1 else qos * 4 + rcoi end)::tinyint as class,
        coalesce(tariff_at_us, start_us) as at_us,
        octets_in, octets_out, duration_s, units,
        from_octets_in, from_octets_out, from_duration_s, from_units,
        (from_octets_in | from_octets_out | from_duration_s | from_units) <> 0 as goes_on,
        quoted_currency, quoted_nano_per_kib
    from records()
    where side = 1
),
matched as (
    select
        used.*,
        lines.line, unit, first_steps, next_step, price_nano as agreed_nano,
        steps_max as agreed_steps_max, fixed_minor, minimum_minor, currency, tax_ppm, tax_base_ppm,
        tax_within, host_ppm, left_ppm, protocol_ppm, in_band, account,
        coalesce(subscribers.keep_ppm, 1000000) as keep_ppm
    from used
    left join lines
        on used.home = lines.home and used.visited = lines.visited and used.service = lines.service
        and used.class >= lines.class_from and used.class <= lines.class_until
        and used.at_us >= lines.valid_from_us and used.at_us < lines.valid_until_us
    left join subscribers on used.subject = subscribers.subject
),
-- What was quoted in band counts where it equals or beats what was agreed; else it is disputed.
quoted as (
    select
        *,
        (case
            when quoted_nano_per_kib is null or not in_band then 0
            when quoted_currency <> currency then 1
            when quoted_nano_per_kib > agreed_nano then 2
            else 0
        end)::tinyint as dispute,
        quoted_nano_per_kib is not null and in_band and dispute = 0 as is_quoted
    from matched
),
counted as (
    select
        *,
        case when is_quoted then quoted_nano_per_kib else agreed_nano end as price_nano,
        case
            when is_quoted then 9223372036854775807 // greatest(quoted_nano_per_kib, 1)
            else agreed_steps_max
        end as steps_max,
        case
            when goes_on then quantity(
                unit, from_octets_in, from_octets_out, from_duration_s, from_units
            )
            else 0
        end as amount_before,
        case
            when goes_on then quantity(
                unit, from_octets_in + octets_in, from_octets_out + octets_out,
                from_duration_s + duration_s, from_units + units
            )
            else quantity(unit, octets_in, octets_out, duration_s, units)
        end as amount_after
    from quoted
),
stepped as (
    select *, steps_of(amount_after, first_steps, next_step) as steps from counted
),
grossed as (
    select *, case when steps <= steps_max then steps * price_nano end as gross_nano from stepped
),
netted as (
    select *, fixed_minor + net_of(gross_nano, keep_ppm) as net_minor from grossed
),
priced as (
    select
        *,
        price_of(steps, net_minor, minimum_minor) as price_minor,
        case
            when goes_on and net_minor is not null then price_of(
                steps_of(amount_before, first_steps, next_step),
                fixed_minor + net_of(
                    steps_of(amount_before, first_steps, next_step) * price_nano, keep_ppm
                ),
                minimum_minor
            )
            else 0
        end as before_minor
    from netted
),
taxed as (
    select
        *,
        tax_of(price_minor, tax_ppm, tax_base_ppm) as tax_after,
        price_minor - tax_within * tax_after as untaxed_after,
        case when before_minor > 0 then tax_of(before_minor, tax_ppm, tax_base_ppm) else 0 end
            as tax_before,
        before_minor - tax_within * tax_before as untaxed_before
    from priced
),
hosted as (
    select
        *,
        host_of(untaxed_after, host_ppm) as host_after,
        case when before_minor > 0 then host_of(untaxed_before, host_ppm) else 0 end as host_before
    from taxed
),
fallen as (
    select
        *,
        protocol_of(untaxed_after - host_after, protocol_ppm, left_ppm) as protocol_after,
        case
            when before_minor > 0
            then protocol_of(untaxed_before - host_before, protocol_ppm, left_ppm)
            else 0
        end as protocol_before,
        (case
            when is_free then 0
            when home is null then 1
            when line is null then 4
            when node is null and host_ppm > 0 then 5
            when price_minor is null then 6
            else 0
        end)::tinyint as status
    from hosted
)
select
    usage_id,
    case when kind <> 1 then kind end as kind,
    corrects,
    case when kind <> 1 then sequence end as sequence,
    line, account, node,
    amount_after - amount_before as amount,
    (1000000 - keep_ppm)::integer as discount_ppm,
    status,
    dispute,
    case
        when is_free then 0
        when status = 0 then untaxed_after - host_after - protocol_after
            - (untaxed_before - host_before - protocol_before)
    end as seller_minor,
    case when is_free then 0 when status = 0 then host_after - host_before end as host_minor,
    case when is_free then 0 when status = 0 then protocol_after - protocol_before end
        as protocol_minor,
    case when is_free then 0 when status = 0 then tax_after - tax_before end as tax_minor,
    case when status > 0 then home end as waiting_home,
    case when status > 0 then visited end as waiting_visited,
    case when status > 0 then day end as waiting_day
from fallen;
