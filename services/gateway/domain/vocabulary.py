"""English word lists of the extractive answer: general vocabulary of handbooks, nothing of any one document."""

_STOP = """
a able about above actually advance after ahead all also am an and any anyone appear appears apply are as at
attend back be because been before being below between both bring but by called can compare compared
comparison could currently describe did differ difference differences do does doing done down during each
else enumerate ever every everything exactly explain far for from further get gets getting give given go
goes had happen happened happens has have having he her here hers him his how i if in into is it its just
kind let like long many may me mean means might more most much must my name need needed needs no nor not of
off often on once one only onward onwards or other our ours out over own per please possible same shall she
should show since so some someone something soon sort stand stands such summarise summarize take taken takes tell than
that the their them then there these they this those to too type types under until up upon us use used uses
using versus very vs want wants was we were what whats when where which while who whom whose why will with
within without would yes you your yours
"""
STOP_WORDS = frozenset(_STOP.split())
"""Words that say nothing about what is asked."""

_MINOR = "a an and at by for in of on the to"
MINOR_WORDS = frozenset(_MINOR.split())
"""Words that acronyms skip."""

_MONTHS = "january february march april may june july august september october november december"
MONTHS = frozenset(_MONTHS.split())

_KIND = "price cost charge amount date time day year number percentage phone telephone email address people pay"
KIND_WORDS = tuple(_KIND.split())
"""Words that only say of what kind the answer is: the expected kind already stands for them."""

_VAGUE = "event item detail information fact rule included"
VAGUE_WORDS = tuple(_VAGUE.split())
"""Words for anything that a list may hold."""

_FRAME = "allowed permitted possible available offered required recommended mandatory work works run go"
FRAME_WORDS = tuple(_FRAME.split())
"""Words of a question's frame: what they ask for may be put in many ways."""

SYNONYM_GROUPS = """
price cost fee charge rate fare tariff amount
cancel terminate termination end
employee staff personnel headcount workforce employ
error code message fault
phone telephone call tel hotline mobile
email e-mail mail
begin start commence open
finish close
buy purchase
weight weigh heavy mass
length long
height tall high
speed fast
big large size
warranty guarantee guaranteed
allow permit permitted admit
child kid pupil
repair fix
rent hire let lease
holiday vacation leave
pay payment paid
reduction discount rebate off
refund reimburse money-back
complain complaint
licence license
contact reach
car vehicle
bicycle bike cycle
late delay overdue
office location site premises
address location situated
headquarters headquartered hq
founder found establish start
introduce launch release
revenue turnover sales
maximum max highest most top limit
minimum min least lowest
capacity fit hold seat
renew extend renewal prolong
restore recover
return bring-back
include contain comprise
require mandatory compulsory necessary obligatory
certification certificate certify training qualification
disposal dispose discard
whole full entire
hour hours
month monthly
year yearly annual annually
week weekly
day daily
replace substitute exchange
language tongue
milestone event
answer reply respond response
damage break broken
dimension size
eat food meal
wear clothing uniform
lead leader
run operate
"""
"""Per line, words that people use for the same thing in handbooks."""

_IRREGULAR = """
built:build bought:buy brought:bring children:child deliver:delivery held:hold kept:keep left:leave
made:make men:man met:meet paid:pay people:person ran:run sold:sell sent:send spent:spend stood:stand
taught:teach women:woman won:win written:write driven:drive stolen:steal
"""
IRREGULAR = dict(pair.split(":") for pair in _IRREGULAR.split())
"""Forms that no ending explains."""

_ENDINGS = """
isations:4 izations:4 isation:4 ization:4 ations:3 ation:3 ators:3 ator:3 ating:3 ated:3 ates:3 ate:3
ments:4 ment:4 nesses:4 ness:4 ings:3 ing:3 edly:3 ions:4 ion:4 able:4 ible:4 als:4 al:4 ees:4 ee:4 ers:3
ors:3 er:3 or:3 ied:3 ed:3 ies:2 es:3 ly:4 s:3 e:3 y:3
"""
ENDINGS = tuple((ending, int(least)) for ending, least in (pair.split(":") for pair in _ENDINGS.split()))
"""Endings to strip, longest first, each with the number of letters that must be left."""
