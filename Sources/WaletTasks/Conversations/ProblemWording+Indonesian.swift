extension ProblemWording {
    private static let sums = [
        "Berapa {x}?", "Berapakah {x}?", "Hitung {x}.", "Tolong hitung {x}.", "Coba hitung {x}.", "{x} berapa?",
        "{x} berapa ya?", "{x} = ?", "{x} =", "{x}", "{x}?", "Berapa hasil {x}?", "Hasil {x} berapa?",
        "Berapa hasil dari {x}?", "Bisa hitung {x}?", "Bisakah kamu menghitung {x}?", "Bantu saya hitung {x}.",
        "Saya mau tahu hasil {x}.", "Saya ingin tahu berapa {x}.", "Mohon hitung {x}.", "Kalau {x} jadi berapa?",
        "Berapa ya {x}?", "Berapa sih {x}?", "Tolong bantu hitung {x}.", "{x} sama dengan berapa?",
        "Jadi berapa {x}?", "Sekarang {x}.", "Kalau {x}?", "Tolong hitungkan {x}.", "Apa hasil dari {x}?",
        "Cari hasil {x}.", "Boleh hitung {x}?", "Apa jawaban dari {x}?",
    ]

    static let indonesian: [ProblemForm.Name: [String]] = [
        .addition: sums + [
            "Jumlahkan {a} dan {b}.", "Tambahkan {a} dengan {b}.", "Berapa jumlah {a} dan {b}?",
            "Tolong jumlahkan {a} dan {b}.", "Berapa {a} ditambah {b}?", "Jumlah {a} dan {b} berapa?",
            "Saya punya {a}, lalu dapat {b} lagi. Jadi berapa?", "Bisa jumlahkan {a} dan {b}?",
        ],
        .subtraction: sums + [
            "Kurangkan {b} dari {a}.", "Kurangi {a} dengan {b}.", "Berapa {a} dikurangi {b}?",
            "Tolong kurangi {a} dengan {b}.", "{a} dikurangi {b} berapa?", "Bisa kurangkan {b} dari {a}?",
            "Mulai dari {a}, lalu dikurangi {b}. Hasilnya berapa?",
        ],
        .multiplication: sums + [
            "Kalikan {a} dengan {b}.", "Berapa {a} kali {b}?", "Tolong kalikan {a} dengan {b}.",
            "Berapa hasil kali {a} dan {b}?", "{a} dikali {b} berapa?", "Bisa kalikan {a} dengan {b}?",
            "Hasil perkalian {a} dan {b} berapa?",
        ],
        .largest: [
            "Mana yang {e}: {l}?", "Angka mana yang {e}: {l}?", "{l}, mana yang {e}?", "Tolong cari yang {e}: {l}.",
            "Pilih yang {e} dari {l}.", "Yang {e} mana, {l}?", "Berapa yang {e} dari {l}?",
            "Saya punya {l}. Mana yang {e}?", "Bisa cari yang {e} dari {l}?", "Di antara {l}, mana yang {e}?",
        ],
        .smallest: [
            "Mana yang {e}: {l}?", "Angka mana yang {e}: {l}?", "{l}, mana yang {e}?", "Tolong cari yang {e}: {l}.",
            "Pilih yang {e} dari {l}.", "Yang {e} mana, {l}?", "Berapa yang {e} dari {l}?",
            "Saya punya {l}. Mana yang {e}?", "Bisa cari yang {e} dari {l}?", "Di antara {l}, mana yang {e}?",
        ],
        .ascending: [
            "Urutkan {l}.", "Tolong urutkan {l}.", "Urutkan dari kecil ke besar: {l}.", "Bisa urutkan {l}?",
            "Susun {l} dari kecil ke besar.", "Urutkan angka {l} dari yang terkecil.",
            "Saya punya {l}. Tolong urutkan.", "Coba urutkan angka {l}.", "Mohon urutkan {l}.",
        ],
        .descending: [
            "Urutkan dari besar ke kecil: {l}.", "Susun {l} dari besar ke kecil.",
            "Tolong urutkan {l} dari yang terbesar.", "Bisa urutkan {l} dari yang terbesar?",
            "Saya punya {l}. Urutkan dari yang terbesar.", "Coba urutkan {l} dari besar ke kecil.",
        ],
        .letters: [
            "Ada berapa huruf {c} dalam {w}?", "Berapa banyak huruf {c} di \"{w}\"?",
            "Tolong hitung huruf {c} dalam kata {w}.", "Dalam kata {w} ada berapa huruf {c}?",
            "Huruf {c} ada berapa di {w}?", "Hitung ada berapa huruf {c} di \"{w}\".",
            "Bisa hitung huruf {c} dalam {w}?", "Berapa jumlah huruf {c} dalam \"{w}\"?",
            "Kata {w} punya berapa huruf {c}?", "Coba hitung huruf {c} di {w}.",
        ],
        .weekdayLater: [
            "Kalau hari ini {d}, {n} hari lagi hari apa?", "Hari ini {d}. {n} hari lagi hari apa?",
            "Hari apa {n} hari setelah {d}?", "Sekarang hari {d}. Hari apa {n} hari lagi?",
            "Hari ini hari {d}, {n} hari lagi hari apa ya?", "Jika hari ini {d}, hari apa {n} hari lagi?",
        ],
        .weekdayEarlier: [
            "Kalau hari ini {d}, {n} hari yang lalu hari apa?", "Hari apa {n} hari sebelum {d}?",
            "Hari ini {d}. {n} hari lalu hari apa?", "Jika hari ini {d}, hari apa {n} hari yang lalu?",
        ],
        .dateLater: [
            "Tanggal berapa {n} hari sesudah {t}?", "Kalau hari ini {t}, tanggal berapa {n} hari lagi?",
            "Hari ini {t}. {n} hari lagi tanggal berapa?", "{n} hari setelah {t} tanggal berapa?",
            "Sekarang {t}. Tanggal berapa {n} hari lagi? (Bukan tahun kabisat.)",
        ],
        .daysBetween: [
            "Berapa hari dari {t} sampai {u}?", "Berapa hari dari {t} ke {u}?",
            "Hari ini {t}. Berapa hari lagi sampai {u}?", "Hitung jumlah hari dari {t} sampai {u}.",
            "Dari {t} sampai {u} ada berapa hari? (Bukan tahun kabisat.)",
        ],
        .weekdayOfDate: [
            "Kalau {t} hari {d}, {u} hari apa?", "{t} hari {d}. Hari apa {u}?",
            "Jika {t} adalah hari {d}, hari apa {u}?",
            "Hari ini {d}, {t}. {u} hari apa? (Bukan tahun kabisat.)",
        ],
        .countdown: [
            "Buat {t} dari {l}, tiap angka sekali, dengan {s}.", "Bagaimana membuat {t} dari {l} dengan {s}?",
            "Saya punya {l}. Bagaimana supaya menjadi {t} dengan {s}?", "Bisa buat {t} dari {l} dengan {s}?",
            "Pakai {l} dan {s} supaya menjadi {t}.", "Cari cara membuat {t} dari {l} dengan {s}.",
        ],
        .pieces: [
            "Harga satu {g} {p}. Berapa harga {n} {g}?", "Satu {g} {p}. {n} {g} jadi berapa?",
            "Saya beli {n} {g}, harganya {p} per buah. Berapa semuanya?",
            "Kalau satu {g} harganya {p}, berapa harga {n} {g}?", "Berapa harga {n} {g} kalau satunya {p}?",
            "Saya mau {n} {g}. Satunya {p}. Bayar berapa?",
        ],
        .onePiece: [
            "{n} kg {f} harganya {p}. Berapa harga 1 kg?", "Saya bayar {p} untuk {n} kg {f}. Berapa harga 1 kg?",
            "Kalau {n} kg harganya {p}, berapa harga 1 kg?", "Berapa harga 1 kg {f} kalau {n} kg {p}?",
        ],
        .packs: [
            "Paket A: isi {a} harga {x}. Paket B: isi {b} harga {y}. Mana yang lebih murah per buah?",
            "Paket A isi {a} seharga {x}, paket B isi {b} seharga {y}. Sebaiknya beli yang mana?",
            "Mana yang lebih murah per buah: paket A, isi {a} harga {x}, atau paket B, isi {b} harga {y}?",
        ],
        .tokens: [
            "1 juta token harganya {p} USD. Berapa harga {n} juta token?",
            "Kalau sejuta token {p} USD, berapa harga {n} juta token?",
            "Sejuta token {p} USD. Saya pakai {n} juta. Bayar berapa?",
            "Berapa harga {n} juta token kalau sejuta token {p} USD?",
        ],
    ]
}
