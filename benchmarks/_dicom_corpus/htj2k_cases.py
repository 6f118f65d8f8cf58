"""High-throughput JPEG 2000: three streams written once with OpenJPH, since no encoder is at hand where tests run."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
from pydicom import uid
from pydicom.encaps import encapsulate

from benchmarks._dicom_corpus.case import case
from benchmarks._dicom_corpus.series import Form, Grid, make_series, write
from benchmarks._dicom_corpus.truth import VolumeTruth

# imagecodecs.htj2k_encode(slice, reversible=True) of `stored()`, in base 85.
STREAMS = (
    "|4;u>04YEK0000G0000C00000000000000G0000C0000000000009pH0sl|{2mk^A000XAQUDA90ssL31q1{@0smY86Cj9?kdTm&kdTm&kdTmw"
    "h=~7W02crOPjF>!N>E53R%LP^FfKASE;BCwkN^q*00001WB>vGlfVEb|3?IebN~Rr024p}6F>kH0IbUe2Xp{##03X*0I%`{hjakI02Pn`1w;S="
    "QZ)wTk7xS7`~gCg02_)q^#p-"
    "*0Iv*~0{#JFGyuQ=7Q6rfZ$JPR(0=~GKLsXB(?9$SFzkW;0T1S30PolUXFTIGKF>Mh%y$m47}^q|O2%qc`}_c>xuAd{xB&k75AYwR{{#IW01yD"
    "+{#$qq{u>`r0LRw=zyL0?00Da300P}`N0a{lfAjxwYrNe55C2d9PyavvKmR}epZ^b_#|Qr9fur1^=<s|~f_wlOGtM|;#*7&=X3Ur|W5$dbGiJ;"
    "<<BS<IX3Ur|8Iv*OoG~Kjk#jS~G6s+!V;~nY22cseIU;k(xnU49M(C5sIk?M=0d4aDLxTtsjwq1J)?7jW#t?upvjP79e?R|!{{MadegA*|cmD_"
    "c^#DS8ls#HNep>+l*#",
    "|4;u>04YEK0000G0000C00000000000000G0000C0000000000009pH0sl|{2mk^A000XAQUDA90ssL31q1{@0smY86Cj9?kdTm&kdTm&kdTmw"
    "h=~7W02crOPjF>!N>E53R%LP^FfKASE;BCwkN^q*00001ZU6!QlfVEb$NU3_bN~Rr024p}6F>kH04}iw2Xp|`lm!QL05c8+hjakI02Pn`1w;S="
    "P;nhDn-lNB`~gCg05@ca?*Sq-04F-ErU61U0Kfni!~g+qzyKE5e(-mH!LI}+mU2JHFZJiZ!y9ID0FPGyXMDD2eD>#x1$XXPHnylL?--EkzXD!="
    "oS+Ms0RF*$_b>4O1pv~24*=D_20$)c`Ucsgz*AQMzyL1700DaJ00QU$a7UB=-"
    "~V_2egAQ5csc)H|7ZVa|8M_q|4;vC|4;u1(BlK;0WjJi_@qHBvx0p988gl}W5$dbGiJ<~F=NJz88c?gIOB{NGiJ<~F(Bt;49L0UTp1%7qvRYJ1"
    "4xiDkPGA-RlDTeY=#*lFi7Ma^hp^5xJwxWv`qkk03a$6hy_d5TtWcG5P&hW0sepgfBt{|fB%2}fBye}|9*e)^Z=3pbkzz<wE%p*0RPz",
    "|4;u>04YEK0000G0000C00000000000000G0000C0000000000009pH0sl|{2mk^A000XAQUDA90ssL31q1{@0smY86Cj9?kdTm&kdTm&kdTmw"
    "h=~7W02crOPjF>!N>E53R%LP^FfKASE;BCwkN^q*00001fdB#jlfVEbO#K3fbN~Rr024p}6F>kH0PK?m2Xp`c(gcTe0DG<lhjakI02Ocm1w;S="
    "P`N!V;`DkX0!Fj|KYnbW0YWqYH+)g50YWqYzyKD^00D1602bJO;xGOMenVi{659{)EBg_^k0;!MfR9%IXYA~pv9o*LV6kLTa<*?vsY+L~Pqp*|"
    "Y|>yemjM2W|6+fE|1bc403ZOg{uuxg9>WINq~KFm0Kfn)-T(o5`~U*#K>r`OOS0+ze}Dep|6l)a|0hA2m-"
    "GK)|8xIy|8M_q|4;vC|8M^T=<$K%4s28xdZ3M*6(C&z88gl}W5$dbGiJ<~F=NJ%F=h<pT*izu&X_S7lQHC+F+k2u&XqBeF(l_?j4}op1KmF492"
    "vdj+^B>ZBWy<G956^31N2E51Gq~W1GG&54je~8OENBT0EQ5NF|YyufBgS@|9}5`|8xI$|9}5)|8M_)|6l(f_~ZZ}T@?%cNJQ<V6=Poj|Je",
)


def stored() -> np.ndarray:
    """What the streams hold: slices x rows x columns, 16 bits."""
    k, r, c = np.mgrid[:3, :12, :16]
    return (r * r * 397 + c * 3001 + k * 7001 + r * c * 113) % 65536


@case("volume")
def htj2k(folder: Path) -> VolumeTruth:
    series = make_series(Grid(slices=3), Form("MR", 16, 16), stored=stored())
    for dataset, stream in zip(series.datasets, STREAMS, strict=True):
        dataset.PixelData = encapsulate([base64.b85decode(stream)])
        dataset["PixelData"].VR = "OB"
        dataset["PixelData"].is_undefined_length = True
    write(series, folder, uid.HTJ2KLossless)
    return series.truth()
