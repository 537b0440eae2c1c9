"""The codebook of Census-Income (KDD): the 42 columns in the order of the source, and what each may hold.

The values are those of the source. ``?`` is its mark for *missing*; ``Not in universe`` is an answer: the
question does not apply to this person (a child has no employer). Amounts are US dollars.

Source: US Census Bureau, Current Population Surveys of March 1994 and 1995, as prepared by T. Lane and R. Kohavi
for the UCI repository, *Census-Income (KDD)*; the survey's own name of a column stands behind it.
"""

from mtl_tutorial.data.columns import Category, Column, Integer, Real

MISSING = "?"
NOT_ASKED = "Not in universe"

EDUCATION = (           # from least to most; a degree begins at the associate's
    "Children", "Less than 1st grade", "1st 2nd 3rd or 4th grade", "5th or 6th grade", "7th and 8th grade",
    "9th grade", "10th grade", "11th grade", "12th grade no diploma", "High school graduate",
    "Some college but no degree", "Associates degree-occup /vocational", "Associates degree-academic program",
    "Bachelors degree(BA AB BS)", "Masters degree(MA MS MEng MEd MSW MBA)",
    "Prof school degree (MD DDS DVM LLB JD)", "Doctorate degree(PhD EdD)",
)
INDUSTRY = (
    "Not in universe or children", "Agriculture", "Armed Forces", "Business and repair services", "Communications",
    "Construction", "Education", "Entertainment", "Finance insurance and real estate", "Forestry and fisheries",
    "Hospital services", "Manufacturing-durable goods", "Manufacturing-nondurable goods",
    "Medical except hospital", "Mining", "Other professional services", "Personal services except private HH",
    "Private household services", "Public administration", "Retail trade", "Social services", "Transportation",
    "Utilities and sanitary services", "Wholesale trade",
)
OCCUPATION = (
    NOT_ASKED, "Adm support including clerical", "Armed Forces", "Executive admin and managerial",
    "Farming forestry and fishing", "Handlers equip cleaners etc", "Machine operators assmblrs & inspctrs",
    "Other service", "Precision production craft & repair", "Private household services",
    "Professional specialty", "Protective services", "Sales", "Technicians and related support",
    "Transportation and material moving",
)
STATE = (
    MISSING, NOT_ASKED, "Abroad", "Alabama", "Alaska", "Arizona", "Arkansas", "California", "Colorado",
    "Connecticut", "Delaware", "District of Columbia", "Florida", "Georgia", "Idaho", "Illinois", "Indiana",
    "Iowa", "Kansas", "Kentucky", "Louisiana", "Maine", "Maryland", "Massachusetts", "Michigan", "Minnesota",
    "Mississippi", "Missouri", "Montana", "Nebraska", "Nevada", "New Hampshire", "New Jersey", "New Mexico",
    "New York", "North Carolina", "North Dakota", "Ohio", "Oklahoma", "Oregon", "Pennsylvania", "South Carolina",
    "South Dakota", "Tennessee", "Texas", "Utah", "Vermont", "Virginia", "West Virginia", "Wisconsin", "Wyoming",
)
HOUSEHOLD = (           # RP: reference person
    "Householder", "Spouse of householder", "Nonfamily householder", "Secondary individual", "In group quarters",
    "Child <18 never marr not in subfamily", "Child <18 never marr RP of subfamily",
    "Child <18 ever marr not in subfamily", "Child <18 ever marr RP of subfamily",
    "Child <18 spouse of subfamily RP", "Child under 18 of RP of unrel subfamily",
    "Child 18+ never marr Not in a subfamily", "Child 18+ never marr RP of subfamily",
    "Child 18+ ever marr Not in a subfamily", "Child 18+ ever marr RP of subfamily",
    "Child 18+ spouse of subfamily RP",
    "Grandchild <18 never marr child of subfamily RP", "Grandchild <18 never marr not in subfamily",
    "Grandchild <18 never marr RP of subfamily", "Grandchild <18 ever marr not in subfamily",
    "Grandchild 18+ never marr not in subfamily", "Grandchild 18+ never marr RP of subfamily",
    "Grandchild 18+ ever marr not in subfamily", "Grandchild 18+ ever marr RP of subfamily",
    "Grandchild 18+ spouse of subfamily RP",
    "Other Rel <18 never marr child of subfamily RP", "Other Rel <18 never marr not in subfamily",
    "Other Rel <18 never married RP of subfamily", "Other Rel <18 ever marr not in subfamily",
    "Other Rel <18 ever marr RP of subfamily", "Other Rel <18 spouse of subfamily RP",
    "Other Rel 18+ never marr not in subfamily", "Other Rel 18+ never marr RP of subfamily",
    "Other Rel 18+ ever marr not in subfamily", "Other Rel 18+ ever marr RP of subfamily",
    "Other Rel 18+ spouse of subfamily RP",
    "RP of unrelated subfamily", "Spouse of RP of unrelated subfamily",
)
COUNTRY = (             # spelled as in the source
    MISSING, "United-States", "Cambodia", "Canada", "China", "Columbia", "Cuba", "Dominican-Republic", "Ecuador",
    "El-Salvador", "England", "France", "Germany", "Greece", "Guatemala", "Haiti", "Holand-Netherlands",
    "Honduras", "Hong Kong", "Hungary", "India", "Iran", "Ireland", "Italy", "Jamaica", "Japan", "Laos", "Mexico",
    "Nicaragua", "Outlying-U S (Guam USVI etc)", "Panama", "Peru", "Philippines", "Poland", "Portugal",
    "Puerto-Rico", "Scotland", "South Korea", "Taiwan", "Thailand", "Trinadad&Tobago", "Vietnam", "Yugoslavia",
)
ASKED = Category((NOT_ASKED, "No", "Yes"))

COLUMNS: dict[str, Column] = {
    "age": Integer(0, 90),                                              # AAGE, years; 90 means 90 or more
    "class_of_worker": Category((                                       # ACLSWKR
        NOT_ASKED, "Private", "Self-employed-not incorporated", "Self-employed-incorporated", "Local government",
        "State government", "Federal government", "Never worked", "Without pay")),
    "industry_code": Integer(0, 51),                                    # ADTIND, a code
    "occupation_code": Integer(0, 46),                                  # ADTOCC, a code
    "education": Category(EDUCATION),                                   # AHGA
    "wage_per_hour": Integer(0, 9999),                                  # AHRSPAY, cents; 0: not paid by the hour
    "enrolled_last_week": Category((NOT_ASKED, "High school", "College or university")),        # AHSCOL
    "marital_status": Category((                                        # AMARITL
        "Never married", "Married-civilian spouse present", "Married-A F spouse present", "Married-spouse absent",
        "Separated", "Divorced", "Widowed")),
    "industry": Category(INDUSTRY),                                     # AMJIND
    "occupation": Category(OCCUPATION),                                 # AMJOCC
    "race": Category((                                                  # ARACE
        "White", "Black", "Asian or Pacific Islander", "Amer Indian Aleut or Eskimo", "Other")),
    "hispanic_origin": Category((                                       # AREORGN; NA: no answer
        "All other", "Mexican-American", "Mexican (Mexicano)", "Chicano", "Central or South American",
        "Puerto Rican", "Cuban", "Other Spanish", "Do not know", "NA")),
    "sex": Category(("Female", "Male")),                                # ASEX
    "union_member": ASKED,                                              # AUNMEM
    "unemployment_reason": Category((                                   # AUNTYPE
        NOT_ASKED, "Job loser - on layoff", "Other job loser", "Job leaver", "Re-entrant", "New entrant")),
    "employment_status": Category((                                     # AWKSTAT
        "Children or Armed Forces", "Not in labor force", "Full-time schedules", "Unemployed full-time",
        "Unemployed part- time", "PT for econ reasons usually FT", "PT for econ reasons usually PT",
        "PT for non-econ reasons usually FT")),
    "capital_gains": Integer(0, 99_999),                                # CAPGAIN, dollars a year
    "capital_losses": Integer(0, 99_999),                               # CAPLOSS, dollars a year
    "stock_dividends": Integer(0, 99_999),                              # DIVVAL, dollars a year
    "tax_filer_status": Category((                                      # FILESTAT
        "Nonfiler", "Single", "Head of household", "Joint both under 65", "Joint one under 65 & one 65+",
        "Joint both 65+")),
    "previous_region": Category((NOT_ASKED, "Northeast", "Midwest", "South", "West", "Abroad")),    # GRINREG
    "previous_state": Category(STATE),                                  # GRINST
    "household_detail": Category(HOUSEHOLD),                            # HHDFMX
    "household_role": Category((                                        # HHDREL
        "Householder", "Spouse of householder", "Child under 18 never married", "Child under 18 ever married",
        "Child 18 or older", "Other relative of householder", "Nonrelative of householder",
        "Group Quarters- Secondary individual")),
    "instance_weight": Real(0, 100_000),                                # MARSUPWT, persons this row stands for
    "migration_msa": Category((                                         # MIGMTR1; MSA: metropolitan area
        MISSING, NOT_ASKED, "Nonmover", "MSA to MSA", "MSA to nonMSA", "NonMSA to MSA", "NonMSA to nonMSA",
        "Abroad to MSA", "Abroad to nonMSA", "Not identifiable")),
    "migration_region": Category((                                      # MIGMTR3
        MISSING, NOT_ASKED, "Nonmover", "Same county", "Different county same state",
        "Different state same division", "Different division same region", "Different region", "Abroad")),
    "migration_within_region": Category((                               # MIGMTR4
        MISSING, NOT_ASKED, "Nonmover", "Same county", "Different county same state",
        "Different state in Northeast", "Different state in Midwest", "Different state in South",
        "Different state in West", "Abroad")),
    "same_house_last_year": Category(("Not in universe under 1 year old", "No", "Yes")),    # MIGSAME
    "migration_from_sunbelt": Category((MISSING, NOT_ASKED, "No", "Yes")),                  # MIGSUN
    "employer_size": Integer(0, 6),                                     # NOEMP, a class of size; 0: no employer
    "parents_present": Category((                                       # PARENT, for persons under 18
        NOT_ASKED, "Both parents present", "Mother only present", "Father only present",
        "Neither parent present")),
    "father_birth_country": Category(COUNTRY),                          # PEFNTVTY
    "mother_birth_country": Category(COUNTRY),                          # PEMNTVTY
    "birth_country": Category(COUNTRY),                                 # PENATVTY
    "citizenship": Category((                                           # PRCITSHP
        "Native- Born in the United States", "Native- Born in Puerto Rico or U S Outlying",
        "Native- Born abroad of American Parent(s)", "Foreign born- U S citizen by naturalization",
        "Foreign born- Not a citizen of U S")),
    "own_business": Integer(0, 2),                                      # SEOTR; 0 not asked, 1 yes, 2 no
    "veterans_questionnaire": ASKED,                                    # VETQVA
    "veterans_benefits": Integer(0, 2),                                 # VETYN; 0 not asked, 1 yes, 2 no
    "weeks_worked": Integer(0, 52),                                     # WKSWORK, in the last year
    "year": Integer(94, 95),                                            # YEAR of the survey
    "income": Category(("- 50000.", "50000+.")),                        # the label: total income, dollars a year
}
