"""Project-written OFX files: small, of nobody."""

from __future__ import annotations

HEADER = "OFXHEADER:100\nDATA:OFXSGML\nVERSION:102\nSECURITY:NONE\nENCODING:USASCII\nCHARSET:1252\n\n"


def ofx(*message_sets: str, made_at: str = "20240229120000") -> str:
    """A file."""
    return (
        f"<OFX><SIGNONMSGSRSV1><SONRS><STATUS><CODE>0<SEVERITY>INFO</STATUS><DTSERVER>{made_at}<LANGUAGE>ENG"
        f"<FI><ORG>Testbank<FID>7</FI></SONRS></SIGNONMSGSRSV1>{''.join(message_sets)}</OFX>"
    )


def bank(
    *transactions: str,
    account: str = "CHK",
    kind: str = "CHECKING",
    start: str = "20240201",
    end: str = "20240229",
    balances: str = "<LEDGERBAL><BALAMT>100.00<DTASOF>20240229120000[-5:EST]</LEDGERBAL>",
    pending: str = "",
) -> str:
    """A statement of an account at a bank."""
    return (
        "<BANKMSGSRSV1><STMTTRNRS><TRNUID>1<STATUS><CODE>0<SEVERITY>INFO</STATUS><STMTRS><CURDEF>USD"
        f"<BANKACCTFROM><BANKID>123<ACCTID>{account}<ACCTTYPE>{kind}</BANKACCTFROM>"
        f"<BANKTRANLIST><DTSTART>{start}<DTEND>{end}{''.join(transactions)}</BANKTRANLIST>"
        f"{pending}{balances}</STMTRS></STMTTRNRS></BANKMSGSRSV1>"
    )


def transaction(number: str = "F1", day: str = "20240215", amount: str = "-12.50", more: str = "") -> str:
    """A transaction of a bank's statement."""
    return f"<STMTTRN><TRNTYPE>POS<DTPOSTED>{day}<TRNAMT>{amount}<FITID>{number}<NAME>Corner Shop{more}</STMTTRN>"


def pending_list(*transactions: tuple[str, str, str], as_of: str = "20240229") -> str:
    """A list of pending transactions: day, amount, name."""
    told = "".join(
        f"<STMTTRNP><TRNTYPE>POS<DTTRAN>{day}<TRNAMT>{amount}<NAME>{name}</STMTTRNP>"
        for day, amount, name in transactions
    )
    return f"<BANKTRANLISTP><DTASOF>{as_of}{told}</BANKTRANLISTP>"


def _about(number: str, day: str = "20240215") -> str:
    return f"<INVTRAN><FITID>{number}<DTTRADE>{day}<DTSETTLE>20240217<MEMO>memo of {number}</INVTRAN>"


def _security(identity: str) -> str:
    return f"<SECID><UNIQUEID>{identity}<UNIQUEIDTYPE>CUSIP</SECID>"


_HELD = "<SUBACCTSEC>CASH<SUBACCTFUND>CASH"

INVESTMENTS = (
    (
        f"<BUYSTOCK><INVBUY>{_about('I1')}{_security('111')}<UNITS>10<UNITPRICE>20.5<COMMISSION>4.95<FEES>0.05"
        f"<TOTAL>-210.00{_HELD}</INVBUY><BUYTYPE>BUY</BUYSTOCK>"
    ),
    (
        f"<SELLMF><INVSELL>{_about('I2')}{_security('222')}<UNITS>-3<UNITPRICE>11<LOAD>1.00<TOTAL>32.00{_HELD}"
        "</INVSELL><SELLTYPE>SELL<AVGCOSTBASIS>9.5</SELLMF>"
    ),
    f"<INCOME>{_about('I3')}{_security('111')}<INCOMETYPE>DIV<TOTAL>7.70{_HELD}</INCOME>",
    f"<INCOME>{_about('I4')}{_security('111')}<INCOMETYPE>CGLONG<TOTAL>1.10{_HELD}</INCOME>",
    (
        f"<REINVEST>{_about('I5')}{_security('222')}<INCOMETYPE>DIV<TOTAL>-5.50<SUBACCTSEC>CASH<UNITS>0.5"
        "<UNITPRICE>11</REINVEST>"
    ),
    (
        f"<SPLIT>{_about('I6')}{_security('111')}<SUBACCTSEC>CASH<OLDUNITS>10<NEWUNITS>20<NUMERATOR>2<DENOMINATOR>1"
        "<FRACCASH>0.25<SUBACCTFUND>CASH</SPLIT>"
    ),
    f"<TRANSFER>{_about('I7')}{_security('222')}<SUBACCTSEC>CASH<UNITS>2<TFERACTION>OUT<POSTYPE>LONG</TRANSFER>",
    f"<MARGININTEREST>{_about('I8')}<TOTAL>-0.33<SUBACCTFUND>MARGIN</MARGININTEREST>",
    (
        f"<CLOSUREOPT>{_about('I10')}{_security('111')}<OPTACTION>EXPIRE<UNITS>-1<SHPERCTRCT>100<SUBACCTSEC>CASH"
        "</CLOSUREOPT>"
    ),
    (
        "<INVBANKTRAN><STMTTRN><TRNTYPE>DEP<DTPOSTED>20240220<TRNAMT>500<FITID>I9<NAME>Deposit</STMTTRN>"
        "<SUBACCTFUND>CASH</INVBANKTRAN>"
    ),
)
POSITIONS = (
    (
        f"<POSSTOCK><INVPOS>{_security('111')}<HELDINACCT>CASH<POSTYPE>LONG<UNITS>20<UNITPRICE>10<MKTVAL>200"
        "<DTPRICEASOF>20240228</INVPOS></POSSTOCK>"
    ),
    (
        f"<POSSTOCK><INVPOS>{_security('111')}<HELDINACCT>SHORT<POSTYPE>SHORT<UNITS>5<UNITPRICE>10<MKTVAL>50"
        "<DTPRICEASOF>20240228<MEMO>borrowed</INVPOS></POSSTOCK>"
    ),
    (
        f"<POSMF><INVPOS>{_security('222')}<HELDINACCT>MARGIN<POSTYPE>LONG<UNITS>7.5<UNITPRICE>11<MKTVAL>82.5"
        "<DTPRICEASOF>20240228</INVPOS><REINVDIV>Y</POSMF>"
    ),
)
SECURITIES = (
    "<SECLISTMSGSRSV1><SECLIST>"
    f"<STOCKINFO><SECINFO>{_security('111')}<SECNAME>Acme Corp<TICKER>acme</SECINFO><STOCKTYPE>COMMON</STOCKINFO>"
    f"<MFINFO><SECINFO>{_security('222')}<SECNAME>Some Fund<TICKER>not a ticker</SECINFO><MFTYPE>OPENEND</MFINFO>"
    "</SECLIST></SECLISTMSGSRSV1>"
)


def broker(*transactions: str, positions: str = "".join(POSITIONS)) -> str:
    """A statement of an account at a broker, with its securities."""
    return (
        "<INVSTMTMSGSRSV1><INVSTMTTRNRS><TRNUID>1<STATUS><CODE>0<SEVERITY>INFO</STATUS><INVSTMTRS>"
        "<DTASOF>20240229160000[-5:EST]<CURDEF>USD<INVACCTFROM><BROKERID>test.example<ACCTID>BRK</INVACCTFROM>"
        f"<INVTRANLIST><DTSTART>20240201<DTEND>20240229{''.join(transactions or INVESTMENTS)}</INVTRANLIST>"
        f"<INVPOSLIST>{positions}</INVPOSLIST>"
        "<INVBAL><AVAILCASH>321.09<MARGINBALANCE>-1<SHORTBALANCE>0<BALLIST><BAL><NAME>Networth<DESC>All<BALTYPE>DOLLAR"
        f"<VALUE>553.59</BAL></BALLIST></INVBAL></INVSTMTRS></INVSTMTTRNRS></INVSTMTMSGSRSV1>{SECURITIES}"
    )
