/// Words that questions outside the tasks are about. Every second one, by its hash, is never trained on.
enum OutsideWords {
    static func words(_ slot: String, _ language: TaskLanguage) -> [String]? {
        names[slot] ?? (language == .english ? english : indonesian)[slot]
    }

    /// Names that both languages have.
    static let names: [String: [String]] = [
        "person": [
            "Einstein", "Newton", "Darwin", "Mozart", "Beethoven", "Picasso", "Shakespeare", "Napoleon", "Gandhi",
            "Mandela", "Sukarno", "Kartini", "Hatta", "Lincoln", "Obama", "Messi", "Ronaldo", "Maradona", "Elvis",
            "Madonna", "Taylor Swift", "Bill Gates", "Steve Jobs", "Marie Curie", "Galileo", "Plato", "Aristotle",
            "Cleopatra", "Caesar", "Columbus", "Habibie", "Diponegoro", "Chopin", "Bach", "Rembrandt", "Tesla",
            "Edison", "Turing", "Confucius", "Michael Jackson", "Raden Saleh", "Chairil Anwar", "Pele", "Tolstoy",
        ],
        "city": [
            "Jakarta", "Bandung", "Surabaya", "Medan", "Makassar", "Denpasar", "Yogyakarta", "London", "Paris",
            "Berlin",
            "Madrid", "Tokyo", "Delhi", "Sydney", "New York", "Boston", "Chicago", "Cairo", "Nairobi", "Lima", "Oslo",
            "Vienna", "Dublin", "Manila", "Bangkok", "Hanoi", "Seoul", "Osaka", "Dubai", "Istanbul", "Athens", "Prague",
            "Toronto", "Havana", "Lagos", "Palembang", "Semarang", "Malang", "Padang", "Manado",
        ],
        "company": [
            "Google", "Apple", "Microsoft", "Toyota", "Honda", "Samsung", "Sony", "Nokia", "Ford", "Amazon", "Intel",
            "Nvidia", "Boeing", "Nestle", "Unilever", "Gojek", "Garuda", "Pertamina", "Telkom", "Siemens", "Volvo",
            "Philips", "Nintendo", "Ikea", "Lego", "Adidas", "Nike", "Bosch", "Yamaha", "Canon",
        ],
        "code": [
            "Python", "Java", "Swift", "Rust", "JavaScript", "Go", "Ruby", "PHP", "Kotlin", "Perl", "Lua", "Haskell",
            "SQL", "HTML", "CSS", "Bash", "Pascal", "Fortran", "Scala", "Julia", "Lisp", "Erlang", "Dart", "C",
        ],
    ]

    static let english: [String: [String]] = [
        "country": [
            "France", "Germany", "Spain", "Italy", "Portugal", "Japan", "China", "India", "Indonesia", "Malaysia",
            "Thailand", "Vietnam", "Australia", "Canada", "Mexico", "Brazil", "Argentina", "Chile", "Peru", "Bolivia",
            "Egypt", "Kenya", "Nigeria", "Ghana", "Morocco", "Turkey", "Greece", "Norway", "Sweden", "Finland",
            "Denmark", "Poland", "Hungary", "Austria", "Ireland", "Iceland", "Cuba", "Iran", "Iraq", "Nepal",
            "Mongolia", "Russia", "Ukraine", "Estonia", "Belgium", "the Netherlands", "South Korea", "New Zealand",
        ],
        "animal": [
            "cats", "dogs", "lions", "tigers", "elephants", "whales", "dolphins", "eagles", "owls", "snakes", "frogs",
            "bees", "ants", "spiders", "horses", "cows", "sheep", "goats", "rabbits", "mice", "bears", "wolves",
            "foxes",
            "monkeys", "penguins", "parrots", "sharks", "turtles", "crocodiles", "bats", "camels", "kangaroos",
        ],
        "food": [
            "pancakes", "pizza", "bread", "soup", "fried rice", "noodles", "curry", "salad", "omelette", "pasta",
            "sushi",
            "satay", "rendang", "cookies", "ice cream", "apple pie", "chicken soup", "burgers", "tea", "coffee",
            "chocolate cake", "stew", "dumplings", "tacos", "yogurt", "jam", "tempeh", "pudding", "waffles",
            "sandwiches",
        ],
        "tongue": [
            "French", "German", "Spanish", "Italian", "Dutch", "Japanese", "Chinese", "Korean", "Arabic", "Hindi",
            "Russian", "Turkish", "Latin", "Greek", "Polish", "Swedish", "Thai", "Javanese", "Sundanese", "Malay",
            "Portuguese", "Hebrew", "Swahili", "Vietnamese",
        ],
        "illness": [
            "a cold", "a headache", "fever", "a cough", "a sore throat", "back pain", "toothache", "the flu", "malaria",
            "asthma", "diabetes", "an allergy", "a broken leg", "stomach ache", "insomnia", "measles", "stress",
            "high blood pressure", "a burn", "a rash", "migraine", "anemia", "dizziness", "a cramp",
        ],
        "sport": [
            "football", "tennis", "badminton", "basketball", "cricket", "golf", "boxing", "rugby", "hockey", "chess",
            "swimming", "cycling", "volleyball", "baseball", "surfing", "skiing", "running", "rowing", "judo",
            "fencing",
            "table tennis", "sailing", "karate", "archery",
        ],
        "thing": [
            "the moon", "the sea", "love", "rain", "the sun", "a tree", "a river", "my mother", "friendship", "winter",
            "the stars", "a mountain", "freedom", "home", "spring", "a bird", "the night", "time", "a flower",
            "the wind",
            "a train", "hope", "snow", "my village", "an island", "the forest", "a dream", "silence",
        ],
        "science": [
            "gravity", "photosynthesis", "black holes", "atoms", "electricity", "evolution", "magnets", "light",
            "sound",
            "DNA", "volcanoes", "earthquakes", "rainbows", "clouds", "the brain", "the heart", "planets", "Mars",
            "Jupiter", "comets", "cells", "viruses", "bacteria", "energy", "quantum physics", "relativity", "oxygen",
            "water", "the ozone layer", "tides", "lightning", "fossils",
        ],
        "event": [
            "World War 1", "World War 2", "the French Revolution", "the Cold War", "the Roman Empire",
            "the moon landing", "the Middle Ages", "the Renaissance", "the Industrial Revolution", "Majapahit",
            "Srivijaya", "the Silk Road", "the Black Death", "the fall of Rome", "the first Olympics", "Borobudur",
            "the pyramids", "the Vikings", "the Ottoman Empire", "the Aztecs", "the Incas", "the Berlin Wall",
            "the Titanic", "the spice trade",
        ],
        "law": [
            "divorce", "a contract", "a will", "taxes", "copyright", "a patent", "my rent", "a traffic fine",
            "my landlord",
            "a loan", "a visa", "my passport", "insurance", "a lawsuit", "child support", "a warranty", "a refund",
            "parking tickets", "my inheritance", "a trademark",
        ],
        "opinion": [
            "politics", "religion", "the president", "vegetarians", "social media", "cars", "nuclear power",
            "school uniforms",
            "money", "modern art", "television", "video games", "the internet", "smartphones", "climate change",
            "the death penalty", "tourism", "zoos", "fast food", "tattoos", "homework", "marriage", "robots", "fashion",
        ],
        "work": [
            "Hamlet", "Harry Potter", "Star Wars", "Titanic", "the Mona Lisa", "Don Quixote", "Frozen", "Jaws",
            "Avatar",
            "the Odyssey", "Moby Dick", "Dracula", "Frankenstein", "The Lion King", "War and Peace", "the Bible",
            "Romeo and Juliet", "Laskar Pelangi", "Bumi Manusia", "Macbeth", "Rocky", "Matrix", "Pinocchio", "Batman",
        ],
        "hobby": [
            "the guitar", "the piano", "the violin", "the drums", "a bicycle", "a car", "a phone", "a laptop",
            "a garden",
            "roses", "tomatoes", "a camera", "a sewing machine", "a boat", "a tent", "a fridge", "a printer", "a roof",
            "a door", "a chair", "the flute", "a motorbike", "a website", "a blog", "a kite", "a clock",
        ],
        "word": [
            "house", "water", "friend", "love", "tree", "book", "school", "thank you", "good morning", "fire", "mother",
            "father", "river", "moon", "bread", "table", "window", "street", "dog", "bird", "night", "flower", "child",
            "happy", "beautiful", "tomorrow", "market", "island",
        ],
    ]

    static let indonesian: [String: [String]] = [
        "country": [
            "Prancis", "Jerman", "Spanyol", "Italia", "Portugal", "Jepang", "Tiongkok", "India", "Indonesia",
            "Malaysia",
            "Thailand", "Vietnam", "Australia", "Kanada", "Meksiko", "Brasil", "Argentina", "Chili", "Peru", "Bolivia",
            "Mesir", "Kenya", "Nigeria", "Ghana", "Maroko", "Turki", "Yunani", "Norwegia", "Swedia", "Finlandia",
            "Denmark", "Polandia", "Hungaria", "Austria", "Irlandia", "Islandia", "Kuba", "Iran", "Irak", "Nepal",
            "Mongolia", "Rusia", "Ukraina", "Estonia", "Belgia", "Belanda", "Korea Selatan", "Selandia Baru",
        ],
        "animal": [
            "kucing", "anjing", "singa", "harimau", "gajah", "paus", "lumba-lumba", "elang", "burung hantu", "ular",
            "katak",
            "lebah", "semut", "laba-laba", "kuda", "sapi", "domba", "kambing", "kelinci", "tikus", "beruang",
            "serigala",
            "rubah", "monyet", "penguin", "kakatua", "hiu", "kura-kura", "buaya", "kelelawar", "unta", "komodo",
        ],
        "food": [
            "nasi goreng", "rendang", "sate", "gado-gado", "soto", "bakso", "mi goreng", "sayur asem", "sambal",
            "opor ayam",
            "rawon", "pempek", "tempe", "tahu", "martabak", "kue lapis", "klepon", "es teh", "kopi", "bubur ayam",
            "pizza",
            "roti", "sup", "kari", "pisang goreng", "lontong", "gudeg", "nasi uduk", "puding", "donat",
        ],
        "tongue": [
            "Prancis", "Jerman", "Spanyol", "Italia", "Belanda", "Jepang", "Mandarin", "Korea", "Arab", "Hindi",
            "Rusia",
            "Turki", "Latin", "Yunani", "Polandia", "Swedia", "Thailand", "Jawa", "Sunda", "Melayu", "Portugis", "Bali",
            "Batak", "Minang",
        ],
        "illness": [
            "pilek", "sakit kepala", "demam", "batuk", "sakit tenggorokan", "sakit punggung", "sakit gigi", "flu",
            "malaria",
            "asma", "diabetes", "alergi", "patah kaki", "sakit perut", "susah tidur", "campak", "stres", "darah tinggi",
            "luka bakar", "gatal-gatal", "migrain", "anemia", "pusing", "maag",
        ],
        "sport": [
            "sepak bola", "tenis", "bulu tangkis", "basket", "kriket", "golf", "tinju", "rugbi", "hoki", "catur",
            "renang",
            "balap sepeda", "voli", "bisbol", "selancar", "ski", "lari", "dayung", "judo", "anggar", "tenis meja",
            "layar",
            "karate", "pencak silat",
        ],
        "thing": [
            "bulan", "laut", "cinta", "hujan", "matahari", "pohon", "sungai", "ibu", "persahabatan", "senja", "bintang",
            "gunung", "kebebasan", "rumah", "musim hujan", "burung", "malam", "waktu", "bunga", "angin", "kereta",
            "harapan",
            "sawah", "desa", "pulau", "hutan", "mimpi", "kesunyian",
        ],
        "science": [
            "gravitasi", "fotosintesis", "lubang hitam", "atom", "listrik", "evolusi", "magnet", "cahaya", "bunyi",
            "DNA",
            "gunung api", "gempa bumi", "pelangi", "awan", "otak", "jantung", "planet", "Mars", "Jupiter", "komet",
            "sel",
            "virus", "bakteri", "energi", "fisika kuantum", "relativitas", "oksigen", "air", "lapisan ozon",
            "pasang surut", "petir", "fosil",
        ],
        "event": [
            "Perang Dunia 1", "Perang Dunia 2", "Revolusi Prancis", "Perang Dingin", "Kekaisaran Romawi",
            "pendaratan di bulan", "Abad Pertengahan", "Renaisans", "Revolusi Industri", "Majapahit", "Sriwijaya",
            "Jalur Sutra", "Perang Diponegoro", "runtuhnya Roma", "Olimpiade pertama", "Borobudur", "piramida",
            "bangsa Viking", "Kesultanan Demak", "Sumpah Pemuda", "proklamasi", "Tembok Berlin", "Titanic",
            "perdagangan rempah",
        ],
        "law": [
            "perceraian", "kontrak", "surat wasiat", "pajak", "hak cipta", "paten", "sewa rumah", "tilang",
            "pemilik kos",
            "pinjaman", "visa", "paspor", "asuransi", "gugatan", "nafkah anak", "garansi", "pengembalian uang",
            "sertifikat tanah", "warisan", "merek dagang",
        ],
        "opinion": [
            "politik", "agama", "presiden", "vegetarian", "media sosial", "mobil", "tenaga nuklir", "seragam sekolah",
            "uang", "seni modern", "televisi", "gim video", "internet", "ponsel pintar", "perubahan iklim",
            "hukuman mati",
            "pariwisata", "kebun binatang", "makanan cepat saji", "tato", "PR sekolah", "pernikahan", "robot", "mode",
        ],
        "work": [
            "Laskar Pelangi", "Bumi Manusia", "Siti Nurbaya", "Harry Potter", "Star Wars", "Titanic", "Mona Lisa",
            "Hamlet",
            "Frozen", "Avatar", "Mahabharata", "Ramayana", "Dracula", "Frankenstein", "The Lion King", "Malin Kundang",
            "Romeo dan Juliet", "Ayat-Ayat Cinta", "Si Kancil", "Sangkuriang", "Rocky", "Matrix", "Pinokio", "Batman",
        ],
        "hobby": [
            "gitar", "piano", "biola", "drum", "sepeda", "mobil", "ponsel", "laptop", "kebun", "mawar", "tanaman tomat",
            "kamera", "mesin jahit", "perahu", "tenda", "kulkas", "printer", "atap", "pintu", "kursi", "seruling",
            "motor",
            "situs web", "blog", "layang-layang", "jam dinding",
        ],
        "word": [
            "rumah", "air", "teman", "cinta", "pohon", "buku", "sekolah", "terima kasih", "selamat pagi", "api", "ibu",
            "ayah", "sungai", "bulan", "roti", "meja", "jendela", "jalan", "anjing", "burung", "malam", "bunga", "anak",
            "senang", "indah", "besok", "pasar", "pulau",
        ],
    ]
}
