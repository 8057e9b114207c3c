"""The sentences of the template engine in each language; `template.py` decides which of them are said."""

from deployments.analysis.models import Language
from deployments.analysis.vocabulary import Topic

EN = {
    "close": "{symbol} last closed at {last}, as of {as_of}.",
    "outlook": "For the bar opening at {time} the median forecast is {median}, {change} against the last close.",
    "no_outlook": "There is no forecast to set beside it.",
    "stale": "The data are stale: bars that are due are missing, so read everything below as of that time.",
    "forming": "In the bar that is still open the price stands at {price}.",
    "changes": "The close changed by {list}.",
    "change_1h": "{value} over 1 hour",
    "change_24h": "{value} over 24 hours",
    "change_7d": "{value} over 7 days",
    "range_24h": "Over 24 hours it traded between {low} and {high}.",
    "range_7d": "Over 7 days it traded between {low} and {high}.",
    "range_30d": "Over 30 days it traded between {low} and {high}; the last close stands at {position} of that range.",
    "average_short": "The {bars}-bar simple average is {value}; the close stands {distance} from it.",
    "average_long": "The {bars}-bar simple average is {value}; the close stands {distance} from it.",
    "rsi": "The {bars}-bar RSI reads {value}.",
    "macd": "The MACD histogram is {value}.",
    "bollinger": "The close stands at {value} of its {bars}-bar Bollinger band, counted from the lower edge.",
    "atr": "The {bars}-bar average true range is {value} of the close.",
    "volatility_24h": "Realised volatility over 24 hours is {value} per day.",
    "volatility_30d": "Over 30 days it averaged {value} per day.",
    "step": "One bar ahead the median is {median} ({change}).",
    "interval": "The {level} interval at the end of the horizon of {horizon} bars runs from {lower} ({lower_change})"
    " to {upper} ({upper_change}).",
    "model": "The forecast comes from {name}, status {status}.",
    "fallback": "It comes from the baseline {name}, not from a trained model.",
    "warnings": "The forecast carries warnings; they stand in the fact sheet.",
    "skill_better": "Over {n} forecasts its pinball loss was {ratio} times the baseline's, {gain} better.",
    "skill_worse": "Over {n} forecasts its pinball loss was {ratio} times the baseline's, {gain} worse.",
    "coverage": "Outcomes fell inside the {level} interval {share} of the time.",
    "no_skill": "No skill against the baseline has been measured for it yet.",
    "analogues": "In {n} past windows of the same shape the price stood higher afterwards in {share} of the cases;"
    " after any bar it did in {base}.",
    "analogues_after": "The median return after them was {median}; four in five lay between {low} and {high}.",
    "nearest": "The nearest of them began at {start}.",
    "passages": "The knowledge base holds {n} passages on this; the first is of {time}.",
    "quality": "{bars} bars were read from {source}.",
    "gaps": "Gaps among them: {gaps}, bars missing there: {missing}.",
    "no_gaps": "They have no gaps.",
    "quarantined": "Rows in quarantine: {n}.",
    "missing": "Not available for this analysis: {list}.",
    "question": "Your question touches on {list}; these facts speak to it.",
    "no_question": "No fact of the sheet speaks to the question directly; what is known follows.",
    "and": "and",
}
DE = {
    "close": "{symbol} schloss zuletzt bei {last}, Stand {as_of}.",
    "outlook": "Für die Kerze ab {time} liegt der Median der Prognose bei {median}, {change} gegenüber dem letzten"
    " Schlusskurs.",
    "no_outlook": "Eine Prognose liegt dazu nicht vor.",
    "stale": "Die Daten sind veraltet: fällige Kerzen fehlen, alles Folgende gilt für diesen Stand.",
    "forming": "In der noch offenen Kerze steht der Kurs bei {price}.",
    "changes": "Der Schlusskurs änderte sich um {list}.",
    "change_1h": "{value} in 1 Stunde",
    "change_24h": "{value} in 24 Stunden",
    "change_7d": "{value} in 7 Tagen",
    "range_24h": "In 24 Stunden wurde zwischen {low} und {high} gehandelt.",
    "range_7d": "In 7 Tagen wurde zwischen {low} und {high} gehandelt.",
    "range_30d": "In 30 Tagen wurde zwischen {low} und {high} gehandelt; der letzte Schlusskurs steht bei {position}"
    " dieser Spanne.",
    "average_short": "Der einfache Durchschnitt über {bars} Kerzen beträgt {value}; der Schlusskurs weicht um"
    " {distance} davon ab.",
    "average_long": "Der einfache Durchschnitt über {bars} Kerzen beträgt {value}; der Schlusskurs weicht um"
    " {distance} davon ab.",
    "rsi": "Der RSI über {bars} Kerzen steht bei {value}.",
    "macd": "Das MACD-Histogramm beträgt {value}.",
    "bollinger": "Der Schlusskurs steht bei {value} seines Bollinger-Bandes über {bars} Kerzen, vom unteren Rand aus"
    " gezählt.",
    "atr": "Die mittlere Handelsspanne (ATR) über {bars} Kerzen beträgt {value} des Schlusskurses.",
    "volatility_24h": "Die realisierte Volatilität der letzten 24 Stunden beträgt {value} pro Tag.",
    "volatility_30d": "Im Mittel der letzten 30 Tage waren es {value} pro Tag.",
    "step": "Eine Kerze voraus liegt der Median bei {median} ({change}).",
    "interval": "Das {level}-Intervall am Ende des Horizonts von {horizon} Kerzen reicht von {lower} ({lower_change})"
    " bis {upper} ({upper_change}).",
    "model": "Die Prognose stammt von {name}, Status {status}.",
    "fallback": "Sie stammt vom Vergleichsmodell {name}, nicht von einem trainierten Modell.",
    "warnings": "Die Prognose trägt Warnungen; sie stehen im Faktenblatt.",
    "skill_better": "Über {n} Prognosen betrug ihr Pinball-Verlust das {ratio}-fache des Vergleichsmodells, {gain}"
    " besser.",
    "skill_worse": "Über {n} Prognosen betrug ihr Pinball-Verlust das {ratio}-fache des Vergleichsmodells, {gain}"
    " schlechter.",
    "coverage": "In {share} der Fälle lag das Ergebnis im {level}-Intervall.",
    "no_skill": "Gegen das Vergleichsmodell wurde dafür noch nichts gemessen.",
    "analogues": "Nach {n} früheren Fenstern gleicher Form stand der Kurs in {share} der Fälle höher; nach beliebigen"
    " Kerzen in {base}.",
    "analogues_after": "Die Rendite danach betrug im Median {median}; vier von fünf lagen zwischen {low} und {high}.",
    "nearest": "Das ähnlichste Fenster begann am {start}.",
    "passages": "Die Wissensbasis enthält dazu {n} Passagen; die erste ist vom {time}.",
    "quality": "Gelesen wurden {bars} Kerzen, Quelle {source}.",
    "gaps": "Lücken darin: {gaps}, dort fehlende Kerzen: {missing}.",
    "no_gaps": "Sie sind lückenlos.",
    "quarantined": "Zeilen in Quarantäne: {n}.",
    "missing": "Für diese Analyse nicht verfügbar: {list}.",
    "question": "Ihre Frage betrifft {list}; dazu sprechen diese Fakten.",
    "no_question": "Kein Fakt des Blattes beantwortet die Frage unmittelbar; bekannt ist Folgendes.",
    "and": "und",
}
PHRASES = {Language.EN: EN, Language.DE: DE}

TOPICS = {
    Language.EN: {
        Topic.FORECAST: "the forecast",
        Topic.SKILL: "the forecast's skill",
        Topic.ANALOGUES: "similar situations",
        Topic.AVERAGE: "the averages",
        Topic.RANGE: "the trading range",
        Topic.VOLATILITY: "volatility",
        Topic.MOMENTUM: "momentum",
        Topic.QUALITY: "the data",
        Topic.PASSAGES: "the knowledge base",
        Topic.PRICE: "the price",
    },
    Language.DE: {
        Topic.FORECAST: "die Prognose",
        Topic.SKILL: "die Güte der Prognose",
        Topic.ANALOGUES: "ähnliche Lagen",
        Topic.AVERAGE: "die Durchschnitte",
        Topic.RANGE: "die Handelsspanne",
        Topic.VOLATILITY: "die Volatilität",
        Topic.MOMENTUM: "das Momentum",
        Topic.QUALITY: "die Daten",
        Topic.PASSAGES: "die Wissensbasis",
        Topic.PRICE: "den Kurs",
    },
}
SOURCES = {
    Language.EN: {
        "forecast": "the forecast",
        "analogues": "similar situations",
        "passages": "the knowledge base",
        "quality": "the quality report",
        "latest": "the latest price",
    },
    Language.DE: {
        "forecast": "die Prognose",
        "analogues": "ähnliche Lagen",
        "passages": "die Wissensbasis",
        "quality": "der Qualitätsbericht",
        "latest": "der neueste Kurs",
    },
}
STATUSES = {
    Language.EN: {"fresh": "fresh", "stale_data": "stale data", "old_model": "old model", "fallback": "fallback"},
    Language.DE: {
        "fresh": "aktuell",
        "stale_data": "veraltete Daten",
        "old_model": "altes Modell",
        "fallback": "Rückfall",
    },
}
