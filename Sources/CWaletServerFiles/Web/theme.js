// Sets the colours before the first paint, and works the button that changes them. A classic script in the head on purpose: a
// module would run after the page was painted in the wrong colours.
(() => {
    'use strict';
    const name = 'walet.theme';
    const order = ['system', 'light', 'dark'];
    const labels = { system: 'as the system', light: 'light', dark: 'dark' };

    function stored() {
        try {
            const value = localStorage.getItem(name);
            return order.includes(value) ? value : 'system';
        } catch {
            return 'system';
        }
    }

    function apply(theme) {
        if (theme === 'system') delete document.documentElement.dataset.theme;
        else document.documentElement.dataset.theme = theme;
        const button = document.getElementById('theme');
        if (!button) return;
        button.dataset.state = theme;
        const next = order[(order.indexOf(theme) + 1) % order.length];
        button.querySelector('.sr-only').textContent = `Colours: ${labels[theme]}. Change to ${labels[next]}`;
        button.title = `Colours: ${labels[theme]}`;
    }

    apply(stored());
    document.addEventListener('DOMContentLoaded', () => {
        apply(stored());
        const button = document.getElementById('theme');
        if (!button) return;
        button.addEventListener('click', () => {
            const theme = order[(order.indexOf(button.dataset.state) + 1) % order.length];
            // Where storage is switched off the choice lasts as long as the page.
            try { localStorage.setItem(name, theme); } catch { /* see above */ }
            apply(theme);
        });
    });
})();
