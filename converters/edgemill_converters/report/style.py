"""The page's look. Colours are those of Okabe and Ito (2008) or darker kin: told apart with any colour vision."""

from __future__ import annotations

CSS = """
:root{--ink:#1b2733;--soft:#56646f;--line:#d9dfe5;--pale:#f5f7f9;--good:#00704f;--bad:#b02a1c;--warn:#8a5a00;
--blue:#0b5c97;--sans:system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","Liberation Sans",Arial,sans-serif;
--mono:ui-monospace,"SF Mono","Noto Sans Mono","DejaVu Sans Mono",Consolas,monospace;color-scheme:light}
*{box-sizing:border-box}
html{scroll-behavior:smooth}
body{margin:0;background:#fff;color:var(--ink);font:15px/1.5 var(--sans);font-variant-numeric:tabular-nums}
main,header,nav,footer{max-width:1180px;margin:0 auto;padding:0 24px}
header{padding-top:32px}
.eyebrow{margin:0;color:var(--soft);font-size:13px;letter-spacing:.04em;text-transform:uppercase}
h1{margin:0 0 12px;font-size:30px;line-height:1.2;overflow-wrap:anywhere}
h1 small{color:var(--soft);font-weight:400}
h2{margin:48px 0 4px;font-size:21px;line-height:1.3}
h3{margin:28px 0 8px;font-size:16px;overflow-wrap:anywhere}
p,ul,ol{margin:6px 0 12px;max-width:78ch}
.lead{color:var(--soft)}
code{font-family:var(--mono);font-size:.9em;overflow-wrap:anywhere}
a{color:var(--blue)}
nav ul{display:flex;flex-wrap:wrap;gap:4px 20px;list-style:none;margin:16px 0 0;padding:10px 0;max-width:none;
border-block:1px solid var(--line)}
nav a{text-decoration:none}
nav a:hover,nav a:focus{text-decoration:underline}
.verdict{border:1px solid;border-left-width:8px;border-radius:6px;padding:14px 18px;margin:12px 0 18px}
.verdict p{margin:0;font-size:19px;font-weight:600;line-height:1.4;max-width:none}
.verdict ul{margin:10px 0 0;padding-left:20px;max-width:none}
.verdict.good{border-color:var(--good);background:#eef8f4}
.verdict.plain{border-color:var(--blue);background:#eff6fb}
.verdict.bad{border-color:var(--bad);background:#fdf2f0}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(165px,1fr));gap:12px;margin:8px 0 16px}
.tile{border:1px solid var(--line);border-radius:6px;padding:10px 14px;margin:0}
.tile dt{color:var(--soft);font-size:13px}
.tile dd{margin:0}
.tile .big{font-size:22px;white-space:nowrap;font-weight:650;line-height:1.25}
.tile .small{color:var(--soft);font-size:13px}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:14px}
caption{text-align:left;color:var(--soft);padding:4px 0 8px}
th,td{padding:6px 10px;text-align:left;vertical-align:top}
thead th{border-bottom:2px solid var(--ink);vertical-align:bottom;font-size:13px;white-space:nowrap}
tbody{border-bottom:1px solid var(--line)}
table.lines tr+tr{border-top:1px solid var(--line)}
table.budget tbody th{padding-top:10px}
table.budget td:first-child{padding-left:26px;min-width:17em}
tbody th[scope=row]{min-width:13em}
table.facts th[scope=row],table.confusion th{min-width:0}
tbody th{font-weight:600;overflow-wrap:break-word}
.number{text-align:right}
td.number{white-space:nowrap}
tr.why td{padding-top:0;color:var(--soft);font-size:13.5px;overflow-wrap:anywhere}
tbody.ships{background:#eef8f4}
tbody.ships tr.why td{color:var(--ink)}
.chip{display:inline-block;border-radius:4px;padding:0 7px;font-size:13px;font-weight:600;white-space:nowrap;color:#fff}
.chip.pass,.chip.better{background:var(--good)}
.chip.fail,.chip.reject,.chip.worse{background:var(--bad)}
.chip.undecided,.chip.uncertain{background:#ffd37a;color:#3f2a00}
.chip.neutral,.chip.reading{background:#e4e9ee;color:var(--ink)}
.yes{font-weight:700;color:var(--good);white-space:nowrap}
.no{color:var(--soft)}
.meter{position:relative;display:inline-block;vertical-align:middle;width:96px;height:10px;margin-left:10px;background:#e4e9ee;border-radius:2px}
.meter i{position:absolute;inset:0 auto 0 0;border-radius:2px;background:var(--good)}
.meter.over i{background:var(--bad)}
.meter.plain i{background:var(--soft)}
.meter b{position:absolute;top:-3px;bottom:-3px;width:2px;background:var(--ink)}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,540px),1fr));gap:24px;margin-top:16px}
figure{margin:0}
figure.plot{border:1px solid var(--line);border-radius:6px;padding:14px 16px;min-width:0}
figure.wide{grid-column:1/-1}
figcaption{font-size:13.5px;color:var(--soft)}
figcaption strong{display:block;color:var(--ink);font-size:15px}
figure.plot svg{display:block;width:100%;height:auto;margin-top:8px;font-family:var(--sans)}
.flips{display:grid;grid-template-columns:repeat(auto-fill,minmax(260px,1fr));gap:16px;margin:8px 0 16px}
.flip{border:1px solid var(--line);border-radius:6px;overflow:hidden;display:flex;flex-direction:column}
.flip img{display:block;width:100%;max-height:220px;object-fit:contain;background:#2b343c}
.flip>svg{display:block;width:100%;max-height:300px;background:#2b343c}
.box{fill:none;stroke-width:1.5;vector-effect:non-scaling-stroke}
.box.case{stroke:#fff;stroke-width:4.5;stroke-opacity:.8}
.box.before{stroke:#0072b2}
.box.after{stroke:#c75000;stroke-dasharray:6 4}
.box.truth{stroke:#00704f;stroke-width:2.5;stroke-dasharray:2 3}
.box.only{stroke-width:3.5}
.flip text{font-family:var(--sans);font-weight:650;fill:#1b2733;stroke:#fff;stroke-width:.18em;paint-order:stroke}
.flip .unread{padding:16px;background:var(--pale);color:var(--bad);font-size:13.5px}
.flip .chip{white-space:normal}
.flip figcaption{padding:10px 12px;color:var(--ink)}
.flip dl{display:grid;grid-template-columns:auto 1fr;gap:3px 10px;margin:8px 0 0}
.flip dt{color:var(--soft)}
.flip dd{margin:0;overflow-wrap:anywhere}
mark{background:#ffd37a;color:inherit;border-radius:2px}
del{color:var(--bad)}
table.confusion{width:auto;min-width:min(100%,560px)}
table.confusion td,table.confusion thead th+th{text-align:right}
table.confusion td{font-size:16px}
td.right{background:#eef8f4}
td.wrong{background:#fdf2f0}
td small{display:block;color:var(--soft);font-size:12px}
ol.steps{display:flex;flex-wrap:wrap;gap:4px;list-style:none;padding:0;margin:0;max-width:none}
ol.steps li{background:var(--pale);border:1px solid var(--line);border-radius:4px;padding:0 7px;font-size:13px}
ol.steps li+li::before{content:"→ ";color:var(--soft)}
table.facts{width:auto}
table.facts th{white-space:nowrap;font-weight:400;color:var(--soft)}
svg.layers{display:block;width:100%;height:50px;margin:4px 0 8px;background:var(--pale)}
.p-fp32,.p-fp64{fill:#0072b2}
.p-fp16,.p-bf16{fill:#5b4b8a}
.p-int8,.p-int4{fill:#c75000}
.p-other{fill:#56646f}
.layers .unfused,.layers .u{fill:#b02a1c}
span.unfused{color:var(--bad);font-weight:650}
table.tried td:last-child{min-width:22em;color:var(--soft)}
details{margin:6px 0 16px}
summary{cursor:pointer;color:var(--blue)}
table.compact{width:auto;font-size:13px}
table.compact code{display:inline-block;min-width:15em}
table.lines ol.steps{min-width:18em}
figure.plot{overflow-x:auto}
figure.plot svg{min-width:460px}
figure.wide svg{min-width:820px}
table.compact th,table.compact td{padding:2px 10px}
footer{margin-top:48px;padding-bottom:40px;color:var(--soft);font-size:13px}
@media (max-width:560px){
table.facts th{white-space:normal}
.meter{width:56px}
}
@media print{
figure.plot svg{min-width:0}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}
body{font-size:10pt}
main,header,footer{max-width:none;padding:0}
nav{display:none}
.scroll{overflow:visible}
table{font-size:8.5pt}
th,td{padding:3px 5px}
h2,h3,caption,thead{break-after:avoid}
figure,tbody,tr,.tile,.verdict{break-inside:avoid}
.plots{grid-template-columns:1fr 1fr}
table.budget td:first-child,tbody th[scope=row]{min-width:0}
.flips{grid-template-columns:repeat(3,1fr)}
}
"""
