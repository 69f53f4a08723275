<?php
/* Registers whatever it is asked for, and is done. */
header('Code: 200');
if ($_POST['type'] === 'ping') {
    header('Consume-Topics: ' . $_POST['queue'] . '/' . $_POST['topic']);
}
