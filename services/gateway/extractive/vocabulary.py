"""English word lists of the extractive answer: general vocabulary, nothing of any one document."""

_STOP = """
a able about above actually advance after ahead all also am an and any anyone appear appears apply are as at
attend back be because been before being below between both but by called can compare compared
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

_LOOSE = """
accept add adjust agree allow announce apply approve arrange arrive ask assign assist attach attend avoid become
belong bring build buy call carry catch caught cause change check choose collect combine come complete comply
consider consist consume contain continue contribute convert create deal decide define deliver depend describe
detect determine develop differ discover discuss display earn employ enable end enjoy ensure enter establish exceed
exist expect explain fail fall feel fill find finish fit follow forget gain gather give given grant grow handle
happen have hear hire hold identify improve increase inform inspect install intend introduce involve join keep know
last launch learn leave lend let like live locate look lose lost maintain make manage matter mean meet miss move name
need notify obtain occur offer open operate organise own pay perform permit pick possess prefer prepare prevent
produce promise protect prove provide publish put qualify raise reach realise receive recommend reduce refer refuse
reject release remain remember remove renew replace reply represent request require reserve respond result retain
return reveal rise run save say see select sell send separate serve set settle show sit sleep solve sound speak spend
spoil stand start stay stop submit succeed suffer suggest suppose take talk tell tend think touch treat try turn
understand undergo use want warn win wish work worry write
able additional actual accurate available average bad basic best better big brief broad certain cheap clear close
common complete correct current deep different difficult direct easy effective entire exact extra fast final fine
first free frequent full general good great half halfway hard heavy high hot huge important initial large last late
latest least less likely little local long low main major many maximum mine minimum minor much myself narrow near
necessary new next nice normal official old only original other overall own particular past poor popular possible
present previous proper quick ready real recent regular relevant right rough same second serious several short
similar simple single slow small special specific standard such sure tall through top total true typical unusual
upper usual valid various well whole wide worst wrong yearly young cheapest largest smallest highest lowest longest
shortest newest oldest biggest fastest
amount address area case category company organisation organization firm institution date day detail event example
fact figure information item kind level list location manner method month name number option part people person
place point procedure process purpose reason requirement rule section side situation size sort status step stuff
system term thing time tool topic type unit way week year percentage percent proportion sum customer enquiry inquiry
symptom someone anyone everybody condition term benefit feature advantage early earlier soon ahead
"""
LOOSE_WORDS = tuple(_LOOSE.split())
"""Words that a text which answers often puts otherwise; other words (nouns, mostly) must occur or be meant."""

SYNONYM_GROUPS = """
employee staff personnel headcount workforce employ
price cost fee charge rate fare tariff amount premium
cancel terminate termination end quit
error code message fault
phone telephone call tel hotline mobile helpline
weight weigh heavy mass
warranty guarantee guaranteed
rent hire let lease
reduction discount rebate off reduced cheaper concession
contact reach write call
bicycle bike cycle
founder found establish start create
minimum min least lowest
require mandatory compulsory necessary obligatory need requirement
lead leader head director manage manager chief chair run boss
truck lorry
deductible excess
immediately once straight
temperature degrees
depth deep
acquire acquisition takeover merge bought
void lapse invalidate expire
endurance air
connection link signal
goal target aim
trial try tried test
overtime extra
pet dog cat animal
delivery ship shipping deliver dispatch
exam examination test
"""
"""Per line, words that people use for the same thing in handbooks."""

_IRREGULAR = """
built:build bought:buy brought:bring children:child deliver:delivery held:hold kept:keep left:leave
made:make men:man met:meet paid:pay people:person ran:run sold:sell sent:send spent:spend stood:stand
taught:teach women:woman won:win written:write driven:drive stolen:steal began:begin begun:begin broke:break
broken:break chose:choose chosen:choose came:come ate:eat eaten:eat fell:fall fallen:fall flew:fly flown:fly gave:give
given:give grew:grow grown:grow knew:know known:know laid:lay led:lead lent:lend lost:lose meant:mean rose:rise
risen:rise said:say saw:see seen:see spoke:speak spoken:speak swam:swim took:take taken:take told:tell wore:wear
worn:wear wrote:write caught:catch froze:freeze frozen:freeze rode:ride ridden:ride shown:show slept:sleep
stole:steal forgot:forget forgotten:forget hid:hide hidden:hide went:go gone:go
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
